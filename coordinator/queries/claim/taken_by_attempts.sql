select a.id, a.sweep_id, a.job, a.number, a.batch, s.name, s.jobs, s.cpu_millis, coalesce(a.memory_bytes, s.memory_bytes, g.job_memory_bytes) as "memory_bytes!", s.gpus, s.disk_bytes
from attempts a
join sweeps s on s.id = a.sweep_id
join agents g on g.id = a.agent_id
where a.id = any($1)
