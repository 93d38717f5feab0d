-- Each file that a published result names, where it stands. One that another job's attempt made is listed with that job,
-- unless that job has no result any more.
select a.sweep_id, a.job, a.number as attempt, s.name, s.jobs, f.path, f.encoding as "encoding: Pg<Encoding>", f.stored_as,
    coalesce(f.stored_size, f.size) as "stored_size!", f.size, f.sha256
from result_files f
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = a.sweep_id
where (a.sweep_id = f.sweep_id and a.job = f.job)
    or not exists (
        select from result_files made where made.sweep_id = a.sweep_id and made.job = a.job and made.path = f.path
    )
