-- A page of a sweep's published files, after file ($2, $3).
select f.job, f.path, f.size, f.sha256, f.encoding as "encoding: Pg<Encoding>", f.stored_size, f.stored_as,
    a.number as attempt
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
where f.sweep_id = $1 and (f.job, f.path) > ($2, $3) and ($4::int is null or f.job = $4)
order by f.job, f.path
limit $5
