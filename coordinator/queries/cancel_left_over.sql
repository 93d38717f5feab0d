-- Cancels queued jobs of cancelled sweeps, a batch at a time: a cancel itself only marks the sweep, and nothing of it
-- starts from then on. The sweep is held, so that nobody takes its cancel back meanwhile.
with left_over as (
    select j.sweep_id, j.number
    from sweeps s
    join jobs j on j.sweep_id = s.id
    where s.ended_at is null and s.cancelled_at is not null
        and j.state = 'queued' and j.attached_sweep is null
    limit $1
    for share of s
    for update of j skip locked
)
update jobs j
set state = 'cancelled', finished_at = now()
from left_over l
where j.sweep_id = l.sweep_id and j.number = l.number and j.state = 'queued' and j.attached_sweep is null
