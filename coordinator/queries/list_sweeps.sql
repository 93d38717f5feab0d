select
    s.id, s.name, s.owner, s.image, s.image_pin, s.created_at, s.priority,
    s.cancelled_at is not null as "cancelled!",
    c.queued as "queued!", c.running as "running!", c.succeeded as "succeeded!",
    c.failed as "failed!", c.cancelled as "cancelled_jobs!", c.finished_at
from sweeps s
cross join lateral (
    select
        count(*) filter (where j.state = 'queued') as queued,
        count(*) filter (where j.state = 'running') as running,
        count(*) filter (where j.state = 'succeeded') as succeeded,
        count(*) filter (where j.state = 'failed') as failed,
        count(*) filter (where j.state = 'cancelled') as cancelled,
        max(j.finished_at) as finished_at
    from jobs j
    where j.sweep_id = s.id
) c
where ($1::uuid is null or s.id = $1) and ($2 or c.queued + c.running > 0)
order by s.created_at desc
limit $3
