-- What the live attempts of these agents take; those of a batch take the place of one. Each table is looked into for one row
-- of the one before (`offset 0`).
select
    w.agent as "agent_id!",
    coalesce(sum(s.cpu_millis), 0)::bigint as "cpu_millis!",
    coalesce(sum(coalesce(a.memory_bytes, s.memory_bytes, g.job_memory_bytes)), 0)::bigint as "memory_bytes!",
    coalesce(sum(s.gpus), 0)::int as "gpus!",
    coalesce(sum(s.disk_bytes), 0)::bigint as "disk_bytes!",
    count(*) as "places!",
    sum(a.attempts)::bigint as "running!"
from (select distinct agent from unnest($1::uuid[]) as agent) w
cross join lateral (
    select sweep_id, count(*) as attempts, max(memory_bytes) as memory_bytes from attempts
    where agent_id = w.agent and state in ('leased', 'preparing', 'running', 'publishing')
    group by sweep_id, coalesce(batch, id) offset 0
) a
cross join lateral (
    select cpu_millis, memory_bytes, gpus, disk_bytes from sweeps where id = a.sweep_id offset 0
) s
cross join lateral (
    select job_memory_bytes from agents where id = w.agent offset 0
) g
group by w.agent
