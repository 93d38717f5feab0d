-- A page of a sweep's jobs in the order of their numbers, after number $2 and up to number $4, each with its latest attempt. A cancelled
-- sweep's queued jobs are as good as cancelled.
select
    j.number,
    case when s.cancelled_at is not null and j.state = 'queued' then 'cancelled' else j.state end
        as "state!: Pg<JobState>",
    j.parameters::text as parameters, j.point, j.waits_for, coalesce(j.memory_bytes, a.memory_bytes) as memory_bytes,
    j.metrics::text as metrics, j.attempts - j.returned as "attempts!", j.finished_at,
    j.reason as "reason: Pg<ReasonKind>", j.reason_code, j.reason_message,
    a.started_at as "started_at?", a.finished_at as "ended_at?", a.note as "note?",
    a.peak_memory_bytes as "peak_memory_bytes?", a.cpu_micros as "cpu_micros?", a.written_bytes as "written_bytes?",
    a.wall_millis as "wall_millis?",
    a.image_id as "image_id?",
    a.state as "attempt_state?: Pg<AttemptState>", g.name as "agent?"
from jobs j
join sweeps s on s.id = j.sweep_id
left join lateral (
    select * from attempts where sweep_id = j.sweep_id and job = j.number and number = j.attempts offset 0
) a on true
left join agents g on g.id = a.agent_id
where j.sweep_id = $1 and j.number > $2 and j.number <= $4
    and (
        cardinality($3::job_state[]) = 0
        or case when s.cancelled_at is not null and j.state = 'queued' then 'cancelled' else j.state end = any($3)
    )
order by j.number
limit $5
