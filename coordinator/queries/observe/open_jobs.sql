-- The jobs of open sweeps by state, as sums of changes: no job is counted, and ended sweeps are not looked at.
-- What is queued of a cancelled sweep is as good as cancelled.
select
    coalesce(sum(c.queued - c.attached - c.waiting) filter (where o.starts), 0)::bigint as "queued!",
    coalesce(sum(case when o.starts then c.attached + c.waiting else c.queued end) filter (where not o.cancelled), 0)::bigint as "held!",
    coalesce(sum(c.running), 0)::bigint as "running!",
    coalesce(sum(c.succeeded), 0)::bigint as "succeeded!",
    coalesce(sum(c.failed), 0)::bigint as "failed!",
    coalesce(sum(c.cancelled + case when o.cancelled then c.queued else 0 end), 0)::bigint as "cancelled!",
    coalesce(sum(c.pruned), 0)::bigint as "pruned!",
    count(*) filter (where o.paused_at is null) as "open!",
    count(*) filter (where o.paused_at is not null) as "paused!"
from (
    select id, paused_at, cancelled_at is not null as cancelled,
        cancelled_at is null and paused_at is null and reuse is distinct from 'pending'
            and (after = '{}' or after_passed_at is not null) as starts
    from sweeps where ended_at is null
) o
cross join lateral (
    select coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running,
        coalesce(sum(succeeded), 0) as succeeded, coalesce(sum(failed), 0) as failed,
        coalesce(sum(cancelled), 0) as cancelled, coalesce(sum(pruned), 0) as pruned,
        coalesce(sum(attached), 0) as attached,
        coalesce(sum(waiting), 0) as waiting
    from sweep_counts where sweep_id = o.id
) c
