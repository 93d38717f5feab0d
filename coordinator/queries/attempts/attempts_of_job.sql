-- The attempts of a job, the first one first.
select
    a.number, a.state as "state: Pg<AttemptState>", g.name as agent, a.note,
    a.reason as "reason: Pg<ReasonKind>", a.reason_code, a.reason_message,
    a.leased_at, a.started_at, a.stopped_at, a.finished_at,
    coalesce(a.memory_bytes, (a.given ->> 'memory_bytes')::bigint, s.memory_bytes, g.job_memory_bytes) as "memory_bytes!"
from attempts a
join sweeps s on s.id = a.sweep_id
join agents g on g.id = a.agent_id
where a.sweep_id = $1 and a.job = $2
order by a.number
limit $3
