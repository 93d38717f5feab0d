select a.id, a.sweep_id, a.job, a.number, s.name, s.jobs, s.cpu_millis, s.memory_bytes, s.gpus, s.disk_bytes
from attempts a
join sweeps s on s.id = a.sweep_id
where a.id = any($1)
