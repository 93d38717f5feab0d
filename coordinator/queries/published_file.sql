-- Where a published file stands: in the place of the attempt that made it, which may be another job's.
select a.sweep_id, a.job, a.number as attempt, s.name, s.jobs, f.encoding as "encoding: Pg<Encoding>",
    f.stored_as
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = a.sweep_id
where f.sweep_id = $1 and f.job = $2 and f.path = $3
