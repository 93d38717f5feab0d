-- A page of a sweep's published results, after job $2.
select r.job, r.attempt_id, r.written, a.number as attempt,
    a.sweep_id as made_by_sweep, a.job as made_by_job, s.name as made_by_name, s.jobs as made_by_jobs
from results r
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = a.sweep_id
where r.sweep_id = $1 and r.job > $2 and ($3::int is null or r.job = $3)
order by r.job
limit $4
