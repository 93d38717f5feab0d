-- Jobs that others wait for in vain, or for no longer: those that have ended, and those that will not start though
-- another one could.
select distinct f.attached_sweep as "sweep_id!", f.attached_job as "job!"
from jobs f
join sweeps fs on fs.id = f.sweep_id
join jobs l on l.sweep_id = f.attached_sweep and l.number = f.attached_job
join sweeps ls on ls.id = l.sweep_id
where f.attached_sweep is not null and fs.cancelled_at is null
    and (
        l.state in ('succeeded', 'failed', 'cancelled')
        or l.state = 'queued' and (ls.cancelled_at is not null or ls.paused_at is not null and fs.paused_at is null)
    )
limit $1
