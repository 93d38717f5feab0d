-- The latest of a schedule's sweeps that has not finished.
select s.id, s.name
from schedule_runs r
join sweeps s on s.id = r.sweep_id
where r.schedule_id = $1 and s.ended_at is null
order by r.at_time desc
limit 1
