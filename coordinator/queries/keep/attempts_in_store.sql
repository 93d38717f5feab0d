-- What became of attempts that have files in the store, attempt $2[i] of job $1[i] of sweep $3: whether nothing more can come
-- of one, whether that is so for long enough, and whether its outputs count, for this sweep or for another one. Results of
-- its own and those that others took are in two indexes.
select e.job as "job!", e.number as "number!",
    a.state in ('succeeded', 'failed', 'cancelled', 'lost', 'returned') as "ended!",
    coalesce(a.finished_at < now() - $4::interval, false) as "old!",
    exists (
        select from (
            select sweep_id from results where attempt_id = a.id and not reused
            union all
            select sweep_id from results where attempt_id = a.id and reused
        ) r
        cross join lateral (
            select expired_at from sweeps where id = r.sweep_id offset 0
        ) s
        where s.expired_at is null and not ($5 and r.sweep_id = $3)
    ) as "counts!"
from unnest($1::int[], $2::int[]) as e (job, number)
cross join lateral (
    select id, state, finished_at from attempts
    where sweep_id = $3 and job = e.job and number = e.number offset 0
) a
