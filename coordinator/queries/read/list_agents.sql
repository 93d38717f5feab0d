select
    g.id, g.name, g.session, g.cpu_millis, g.memory_bytes, g.gpus, g.disk_bytes, g.labels, g.volumes, g.version, g.engine,
    g.max_jobs, g.job_memory_bytes, g.about, g.volume_fingerprints, g.protocol, g.secrets, g.line_is_private, g.ends_at, g.unhealthy,
    case when g.ends_at is not null then greatest(0, ceil(extract(epoch from g.ends_at - now()) * 1000)) end::bigint as left_millis,
    g.unavailable, g.draining,
    g.drained_at is not null as "drained!", g.last_seen_at,
    g.last_seen_at < now() - $1::interval as "offline!",
    extract(epoch from now() - g.disconnected_at)::bigint as disconnected_seconds,
    case when g.contested_at > now() - interval '5 minutes' then g.contested_by end as contested_by,
    j.expires_at as "certificate_expires?", j.revoked_at is not null as "revoked!"
from agents g
left join joined_agents j on j.agent_id = g.id
order by g.name, g.id
