-- Cancels queued jobs of cancelled sweeps, a batch at a time, and as many that wait for identical ones: a cancel itself only
-- marks the sweep, and nothing of it starts from then on. The sweep is held, so that nobody takes its cancel back
-- meanwhile. Rows are found again by their places (ctid), as in claim_jobs.
with cancelled as (
    select id from sweeps where ended_at is null and cancelled_at is not null order by id for share
), left_over as (
    select j.place
    from cancelled s
    cross join lateral (
        select ctid as place from jobs
        where sweep_id = s.id and state = 'queued' and attached_sweep is null
        limit $1
        for update skip locked
    ) j
    limit $1
), waiting as (
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
where j.ctid = any (array(select place from left_over union all select place from waiting))
    and coalesce(j.state = 'queued', false)
