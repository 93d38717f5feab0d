-- The latest attempt of a job, and what it said last.
select a.id, a.number, p.at as "at?", p.fraction, p.done, p.total, p.note, p.metrics::text as metrics
from jobs j
join attempts a on a.sweep_id = j.sweep_id and a.job = j.number and a.number = j.attempts
left join progress p on p.attempt_id = a.id
where j.sweep_id = $1 and j.number = $2
