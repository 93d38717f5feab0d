-- A cancelled sweep's queued jobs are as good as cancelled: none of them starts any more.
select
    s.id, s.name, s.owner, s.image, s.image_pin, s.created_at, s.priority,
    s.cancelled_at is not null as "cancelled!", s.paused_at is not null as "paused!", s.pause_reason,
    case when s.cancelled_at is null then c.queued else 0 end as "queued!",
    c.running as "running!", c.succeeded as "succeeded!", c.failed as "failed!",
    case when s.cancelled_at is null then c.cancelled else c.cancelled + c.queued end as "cancelled_jobs!",
    coalesce(s.ended_at, s.cancelled_at) as finished_at,
    s.canary, s.canary_passed_at is not null as "canary_passed!", s.max_parallel, s.limits,
    s.ended_at + s.keep_seconds * interval '1 second' as kept_until, s.expired_at is not null as "expired!"
from sweeps s
cross join lateral (
    select
        coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running,
        coalesce(sum(succeeded), 0) as succeeded, coalesce(sum(failed), 0) as failed,
        coalesce(sum(cancelled), 0) as cancelled
    from sweep_counts where sweep_id = s.id
) c
where ($1::uuid is null or s.id = $1)
    and ($2 or (s.ended_at is null and (c.running > 0 or (c.queued > 0 and s.cancelled_at is null))))
order by s.created_at desc
limit $3
