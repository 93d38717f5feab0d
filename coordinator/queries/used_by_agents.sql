select
    a.agent_id,
    coalesce(sum(s.cpu_millis), 0)::bigint as "cpu_millis!",
    coalesce(sum(coalesce(s.memory_bytes, g.job_memory_bytes)), 0)::bigint as "memory_bytes!",
    coalesce(sum(s.gpus), 0)::int as "gpus!",
    coalesce(sum(s.disk_bytes), 0)::bigint as "disk_bytes!",
    count(*) as "running!"
from attempts a
join sweeps s on s.id = a.sweep_id
join agents g on g.id = a.agent_id
where a.agent_id = any($1) and a.state in ('leased', 'preparing', 'running', 'publishing')
group by a.agent_id
