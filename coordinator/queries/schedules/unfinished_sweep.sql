-- The latest of a schedule's sweeps that has not finished. The end of a sweep is written down a moment after that of its last job; a
-- cancelled sweep's queued jobs start no more.
select s.id, s.name
from schedule_runs r
join sweeps s on s.id = r.sweep_id
cross join lateral (
    select coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running from sweep_counts where sweep_id = s.id
) c
where r.schedule_id = $1 and s.ended_at is null
    and (c.running > 0 or c.queued > 0 and s.cancelled_at is null)
order by r.at_time desc
limit 1
