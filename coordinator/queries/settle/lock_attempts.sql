-- Everything that decides how an attempt ends; its sweep is held already (hold_sweeps), and looked for after its job, which
-- has a key of two columns.
select
    a.id, a.sweep_id, a.job, a.agent_id, a.number,
    a.state as "state: Pg<AttemptState>",
    a.lease_expires_at < now() as "expired", a.started_at is not null as "started!",
    j.state as "job_state: Pg<JobState>",
    j.failures, j.ooms, j.losses, j.preemptions,
    s.retries, s.oom_retries, s.loss_retries, s.preemption_retries,
    s.retry_on as "retry_on: Vec<Pg<ReasonKind>>",
    s.oom_factor, s.oom_max_bytes, coalesce(a.memory_bytes, s.memory_bytes, g.job_memory_bytes) as "memory_bytes!",
    s.cancelled_at is not null as "cancelled!"
from jobs j
join attempts a on a.sweep_id = j.sweep_id and a.job = j.number
cross join lateral (
    select * from sweeps where id = a.sweep_id offset 0
) s
cross join lateral (
    select job_memory_bytes from agents where id = a.agent_id offset 0
) g
where a.id = any($1)
order by a.sweep_id, a.job
for update of j, a
