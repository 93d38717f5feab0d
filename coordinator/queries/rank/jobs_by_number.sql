-- These jobs of a sweep, each with its latest attempt.
select
    j.number, j.state as "state: Pg<JobState>", j.parameters::text as parameters, j.point, j.waits_for, coalesce(j.memory_bytes, a.memory_bytes) as memory_bytes,
    j.metrics::text as metrics, j.attempts - j.returned as "attempts!", j.finished_at,
    j.reason as "reason: Pg<ReasonKind>", j.reason_code, j.reason_message,
    a.started_at as "started_at?", a.finished_at as "ended_at?", a.note as "note?",
    a.peak_memory_bytes as "peak_memory_bytes?", a.cpu_micros as "cpu_micros?", a.written_bytes as "written_bytes?",
    a.wall_millis as "wall_millis?",
    a.image_id as "image_id?",
    a.state as "attempt_state?: Pg<AttemptState>", g.name as "agent?"
from (select distinct number from unnest($2::int[]) as number) w
cross join lateral (
    select * from jobs where sweep_id = $1 and number = w.number offset 0
) j
left join lateral (
    select * from attempts where sweep_id = j.sweep_id and job = j.number and number = j.attempts offset 0
) a on true
left join agents g on g.id = a.agent_id
