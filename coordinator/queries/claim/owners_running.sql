-- What the owners of open sweeps have running, and how much they may have. Containers are for fair shares: jobs that run in
-- batches count as the containers that they fill. Where a quota of cpus is set, a batch takes those of its container.
select
    o.owner as "owner!", o.containers as "containers!", o.running as "running!", o.cpu_millis as "cpu_millis!",
    coalesce(own.running, most.running) as most_running, coalesce(own.cpu_millis, most.cpu_millis) as most_cpu_millis
from (
    select s.owner,
        coalesce(sum(ceil(c.running::numeric / coalesce(s.batch, 1))), 0)::bigint as containers,
        coalesce(sum(c.running), 0)::bigint as running,
        coalesce(sum(s.cpu_millis * case when s.batch is null then c.running else b.containers end), 0)::bigint as cpu_millis
    from sweeps s
    cross join lateral (
        select coalesce(sum(running), 0) as running from sweep_counts where sweep_id = s.id
    ) c
    cross join lateral (
        select count(distinct batch) as containers from attempts
        where s.batch is not null and (select exists (select from quotas where cpu_millis is not null))
            and sweep_id = s.id and state in ('leased', 'preparing', 'running', 'publishing')
    ) b
    where s.ended_at is null
    group by s.owner
) o
left join lateral (select running, cpu_millis from quotas where owner = o.owner offset 0) own on true
left join lateral (select running, cpu_millis from quotas where owner = '' offset 0) most on true
