-- What holds a queued job back as such: its own wait, and the jobs of its sweep that go first.
select
    j.state as "state: Pg<JobState>", j.attempts, j.returned,
    case when j.attached_sweep is null and j.waits_for is null then greatest(extract(epoch from j.ready_at - now())::float8, 0) else 0 end
        as "wait_seconds!",
    (
        select count(*) from jobs b
        where b.sweep_id = $1 and b.state = 'queued' and b.attached_sweep is null
            and b.waits_for is null and b.number < $2
    ) as "before!",
    g.name as "agent?", a.note as "note?", a.state as "attempt_state?: Pg<AttemptState>",
    j.attached_sweep is not null as "is_attached!", j.waits_for, j.memory_bytes,
    j.reason as "reason: Pg<ReasonKind>", j.reason_code, j.reason_message
from jobs j
left join lateral (
    select * from attempts where sweep_id = j.sweep_id and job = j.number and number = j.attempts offset 0
) a on true
left join agents g on g.id = a.agent_id
where j.sweep_id = $1 and j.number = $2
