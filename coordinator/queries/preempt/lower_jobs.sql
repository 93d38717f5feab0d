-- What runs on these agents of sweeps with a lower priority than $2, those that would lose least first; the attempts of a
-- batch are one. Each table is looked into for one row of the one before (`offset 0`).
select
    w.agent as "agent_id!", a.attempts as "attempts!: Vec<Uuid>", s.name, a.job as "job!", s.owner, s.priority,
    s.cpu_millis, coalesce(a.memory_bytes, s.memory_bytes, g.job_memory_bytes) as "memory_bytes!", s.gpus, s.disk_bytes,
    a.publishes as "publishes!", extract(epoch from now() - a.since)::double precision as "ran_seconds!", p.times as "preempted!"
from (select distinct agent from unnest($1::uuid[]) as agent) w
cross join lateral (
    select sweep_id, array_agg(id) as attempts, max(memory_bytes) as memory_bytes, min(job) as job, array_agg(job) as jobs,
        bool_or(state = 'publishing') as publishes, min(coalesce(started_at, now())) as since
    from attempts
    where agent_id = w.agent and state in ('leased', 'preparing', 'running', 'publishing')
    group by sweep_id, coalesce(batch, id) offset 0
) a
cross join lateral (
    select name, owner, priority, cpu_millis, memory_bytes, gpus, disk_bytes from sweeps where id = a.sweep_id offset 0
) s
cross join lateral (
    select coalesce(max(n), 0) as times
    from unnest(a.jobs) as u (job)
    cross join lateral (
        select count(*) as n from attempts
        where sweep_id = a.sweep_id and attempts.job = u.job and preempted_by is not null offset 0
    ) of_job
) p
cross join lateral (
    select job_memory_bytes from agents where id = w.agent offset 0
) g
where s.priority < $2
order by s.priority, a.since desc
limit $3
