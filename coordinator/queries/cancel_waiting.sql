-- As cancel_left_over, of jobs that wait for identical ones.
with left_over as (
    select j.sweep_id, j.number
    from sweeps s
    join jobs j on j.sweep_id = s.id
    where s.ended_at is null and s.cancelled_at is not null
        and j.attached_sweep is not null
    limit $1
    for share of s
    for update of j skip locked
)
update jobs j
set state = 'cancelled', finished_at = now(), attached_sweep = null, attached_job = null
from left_over l
where j.sweep_id = l.sweep_id and j.number = l.number and j.attached_sweep is not null
