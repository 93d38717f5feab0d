-- What is not given stays.
insert into quotas (owner, queued, running, cpu_millis, submits_per_minute, bytes) values ($1, $2, $3, $4, $5, $6)
on conflict (owner) do update set
    queued = coalesce(excluded.queued, quotas.queued),
    running = coalesce(excluded.running, quotas.running),
    cpu_millis = coalesce(excluded.cpu_millis, quotas.cpu_millis),
    submits_per_minute = coalesce(excluded.submits_per_minute, quotas.submits_per_minute),
    bytes = coalesce(excluded.bytes, quotas.bytes)
