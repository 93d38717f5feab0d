-- What the owner's sweeps have queued and running now. Counts are sums of changes; jobs that run in batches take the cpus of
-- their containers.
select
    coalesce(sum(c.queued) filter (where s.cancelled_at is null), 0)::bigint as "queued!",
    coalesce(sum(c.running), 0)::bigint as "running!",
    coalesce(sum(s.cpu_millis * case when s.batch is null then c.running else b.containers end), 0)::bigint as "cpu_millis!"
from sweeps s
cross join lateral (
    select coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running from sweep_counts where sweep_id = s.id
) c
cross join lateral (
    select count(distinct batch) as containers from attempts
    where s.batch is not null and sweep_id = s.id and state in ('leased', 'preparing', 'running', 'publishing')
) b
where s.owner = $1 and s.ended_at is null
