-- Tests that wait for a window whose training jobs have all ended. Each condition is found by an index of its own (`offset 0`),
-- however many jobs a window has.
select t.sweep_id, t.job
from (
    select sweep_id, number from jobs where waits_for is not null and state = 'queued' offset 0
) w
cross join lateral (
    select * from window_tests where sweep_id = w.sweep_id and job = w.number offset 0
) t
cross join lateral (
    select cancelled_at from sweeps where id = w.sweep_id offset 0
) s
where s.cancelled_at is null
    and not exists (
        select from jobs j
        where j.sweep_id = t.sweep_id and j.number between t.first_job and t.last_job
            and j.state = 'queued' and j.attached_sweep is null
        offset 0
    )
    and not exists (
        select from jobs j
        where j.sweep_id = t.sweep_id and j.number between t.first_job and t.last_job and j.attached_sweep is not null
        offset 0
    )
    and not exists (
        select from attempts a
        where a.sweep_id = t.sweep_id and a.job between t.first_job and t.last_job
            and a.state in ('leased', 'preparing', 'running', 'publishing')
        offset 0
    )
order by t.sweep_id, t.job
limit $1
