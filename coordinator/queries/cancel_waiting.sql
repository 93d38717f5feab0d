-- As cancel_left_over, of jobs that wait for identical ones.
with cancelled as (
    select id from sweeps where ended_at is null and cancelled_at is not null order by id for share
), left_over as (
    select j.place
    from cancelled s
    cross join lateral (
        select ctid as place from jobs
        where sweep_id = s.id and attached_sweep is not null
        limit $1
        for update skip locked
    ) j
    limit $1
)
update jobs j
set state = 'cancelled', finished_at = now(), attached_sweep = null, attached_job = null
where j.ctid = any (array(select place from left_over)) and j.attached_sweep is not null
