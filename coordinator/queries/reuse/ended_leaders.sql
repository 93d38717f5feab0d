-- Jobs that others wait for in vain, or for no longer: those that have ended, and those that will not start though
-- another one could. All jobs that wait are looked at, each with both columns of the keys (`offset 0`).
select distinct f.attached_sweep as "sweep_id!", f.attached_job as "job!"
from (
    select sweep_id, attached_sweep, attached_job from jobs where attached_sweep is not null offset 0
) f
cross join lateral (
    select cancelled_at, paused_at from sweeps where id = f.sweep_id offset 0
) fs
cross join lateral (
    select state from jobs where sweep_id = f.attached_sweep and number = f.attached_job offset 0
) l
cross join lateral (
    select cancelled_at, paused_at from sweeps where id = f.attached_sweep offset 0
) ls
where fs.cancelled_at is null
    and (
        l.state in ('succeeded', 'failed', 'cancelled', 'pruned')
        or l.state = 'queued' and (ls.cancelled_at is not null or ls.paused_at is not null and fs.paused_at is null)
    )
limit $1
