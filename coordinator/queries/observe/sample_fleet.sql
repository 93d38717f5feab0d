-- Notes once a minute, whichever coordinator comes first, what agents offer and what of it is used. One that was silent for
-- $1 is gone. Those of a batch take the place of one.
insert into fleet_samples (
    at, ready, connected, running, cpu_millis, cpu_millis_used, memory_bytes, memory_bytes_used, gpus, gpus_used
)
select
    date_trunc('minute', now()),
    count(*) filter (where g.unhealthy = '' and not g.draining and g.drained_at is null),
    count(*),
    coalesce(sum(u.running), 0), coalesce(sum(g.cpu_millis), 0), coalesce(sum(u.cpu_millis), 0),
    coalesce(sum(g.memory_bytes), 0), coalesce(sum(u.memory_bytes), 0),
    coalesce(sum(g.gpus), 0), coalesce(sum(u.gpus), 0)
from agents g
left join lateral (
    select sum(s.cpu_millis) as cpu_millis, sum(coalesce(a.memory_bytes, s.memory_bytes, g.job_memory_bytes)) as memory_bytes,
        sum(s.gpus) as gpus, sum(a.attempts) as running
    from (
        select sweep_id, count(*) as attempts, max(memory_bytes) as memory_bytes from attempts
        where agent_id = g.id and state in ('leased', 'preparing', 'running', 'publishing')
        group by sweep_id, coalesce(batch, id) offset 0
    ) a
    cross join lateral (
        select cpu_millis, memory_bytes, gpus from sweeps where id = a.sweep_id offset 0
    ) s
) u on true
where g.disconnected_at is null and g.last_seen_at > now() - $1::interval
    and not exists (select from fleet_samples where at = date_trunc('minute', now()))
having not exists (select from fleet_samples where at = date_trunc('minute', now()))
on conflict (at) do nothing
