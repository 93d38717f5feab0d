-- Which of these stored files are published: one that stands as $5[i] is file $3[i] of job $2[i] of sweep $1, if that is
-- encoded as $4[i]; one that stands as $7[i] is the file of job $6[i] that has this other name.
select e.job as "job!", e.stored as "stored!"
from unnest($2::int[], $3::text[], $4::encoding[], $5::text[]) as e (job, path, encoding, stored)
cross join lateral (
    select encoding from result_files where sweep_id = $1 and job = e.job and path = e.path offset 0
) f
where f.encoding = e.encoding
union all
select e.job, e.stored
from unnest($6::int[], $7::text[]) as e (job, stored)
cross join lateral (
    select stored_as from result_files where sweep_id = $1 and job = e.job offset 0
) f
where f.stored_as = e.stored
