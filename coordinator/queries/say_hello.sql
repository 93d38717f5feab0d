-- Opens a session. No row comes back when a newer session, or this very one, was seen before.
insert into agents (
    id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine, disk_bytes, max_jobs,
    job_memory_bytes, about, volume_fingerprints
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict (id) do update
set name = excluded.name, session = excluded.session, cpu_millis = excluded.cpu_millis,
    memory_bytes = excluded.memory_bytes, gpus = excluded.gpus, labels = excluded.labels,
    volumes = excluded.volumes, version = excluded.version, engine = excluded.engine, disk_bytes = excluded.disk_bytes,
    max_jobs = excluded.max_jobs, job_memory_bytes = excluded.job_memory_bytes, about = excluded.about,
    volume_fingerprints = excluded.volume_fingerprints,
    unhealthy = '', draining = false, last_seen_at = now()
where agents.session < excluded.session
returning id
