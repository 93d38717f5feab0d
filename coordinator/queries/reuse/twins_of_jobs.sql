-- Of these jobs of a sweep, those that have another job's result, and those that wait for one.
select j.number, a.number as "attempt?", s.id, s.name, coalesce(a.job, j.attached_job) as "job!", t.state as "state: Pg<JobState>"
from jobs j
left join results r on r.sweep_id = j.sweep_id and r.job = j.number and r.reused
left join attempts a on a.id = r.attempt_id
join sweeps s on s.id = coalesce(a.sweep_id, j.attached_sweep)
join jobs t on t.sweep_id = s.id and t.number = coalesce(a.job, j.attached_job)
where j.sweep_id = $1 and j.number = any($2)
