-- The sweeps that have jobs waiting and are not held back, how much of each runs already, and what may still start; jobs
-- that wait for identical ones or for a window are not among those, nor are sweeps that wait for others. Counts are sums of changes;
-- only those of open sweeps are read.
select
    s.id, s.name, s.jobs, s.owner, s.priority, s.cpu_millis, s.memory_bytes, s.gpus, s.disk_bytes, s.labels, s.volumes, s.limits,
    s.max_parallel, s.image_pin, s.containers, s.batch, s.pinned, s.dev_mounts is not null as "is_laid!", s.oom_factor is not null as "grows!",
    s.secrets, s.timeout_millis, s.preempt,
    case when s.secrets <> '{}' then array(select name from secrets where name = any(s.secrets)) end as stored_secrets,
    s.cut_before is not null as "is_cut!",
    case when s.canary > 0 and s.canary_passed_at is null then s.canary end as canary,
    c.running as "running!", c.queued - c.attached - c.waiting as "queued!"
from sweeps s
cross join lateral (
    select coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running,
        coalesce(sum(attached), 0) as attached, coalesce(sum(waiting), 0) as waiting
    from sweep_counts where sweep_id = s.id
) c
where s.ended_at is null and s.cancelled_at is null and s.paused_at is null and c.queued > c.attached + c.waiting
    and s.reuse is distinct from 'pending' and (s.after = '{}' or s.after_passed_at is not null)
order by s.priority desc, s.created_at, s.id
limit $1
