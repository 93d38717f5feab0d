-- Opens a session. No row comes back when a newer session, or this very one, was seen before, or when the id belongs to
-- another one that is alive: heard of within $17 and not known to have ended. One that is from the same place ($16) is the
-- same agent's own, which a lock sees to. Where the place is not known, taking over is allowed $18 times a minute.
with before as (
    select place, disconnected_at is null and last_seen_at > now() - $17::interval as is_alive from agents where id = $1
)
insert into agents as g (
    id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine, disk_bytes, max_jobs,
    job_memory_bytes, about, volume_fingerprints, place, protocol, secrets, line_is_private, ends_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $19, $20, $21, now() + $22::interval)
on conflict (id) do update
set name = excluded.name, session = excluded.session, cpu_millis = excluded.cpu_millis,
    memory_bytes = excluded.memory_bytes, gpus = excluded.gpus, labels = excluded.labels,
    volumes = excluded.volumes, version = excluded.version, engine = excluded.engine, disk_bytes = excluded.disk_bytes,
    max_jobs = excluded.max_jobs, job_memory_bytes = excluded.job_memory_bytes, about = excluded.about,
    volume_fingerprints = excluded.volume_fingerprints, protocol = excluded.protocol,
    secrets = excluded.secrets, line_is_private = excluded.line_is_private, ends_at = excluded.ends_at,
    unhealthy = '', unavailable = '', draining = false, last_seen_at = now(), place = excluded.place, disconnected_at = null,
    takeovers = case
        when g.disconnected_at is not null or g.last_seen_at < now() - $17::interval then g.takeovers
        when g.place = excluded.place and g.place <> '' then g.takeovers
        when g.taken_over_at > now() - interval '1 minute' then g.takeovers + 1
        else 1
    end,
    taken_over_at = case
        when g.disconnected_at is not null or g.last_seen_at < now() - $17::interval then g.taken_over_at
        when g.place = excluded.place and g.place <> '' then g.taken_over_at
        else now()
    end
where g.session < excluded.session
  and not (
      g.disconnected_at is null and g.last_seen_at > now() - $17::interval
      and (
          (g.place <> excluded.place and g.place <> '' and excluded.place <> '')
          or ((g.place = '' or excluded.place = '') and g.taken_over_at > now() - interval '1 minute' and g.takeovers >= $18)
      )
  )
returning coalesce((select is_alive and (place <> $16 or place = '') from before), false) as "took_over!"
