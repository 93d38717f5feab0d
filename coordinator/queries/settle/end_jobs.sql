-- Moves jobs on after their attempt has ended. Each names the state that it expects.
update jobs j
set state = e.state,
    failures = j.failures + e.failures,
    ooms = j.ooms + e.ooms,
    losses = j.losses + e.losses,
    preemptions = j.preemptions + e.preemptions,
    returned = j.returned + e.returned,
    memory_bytes = coalesce(e.memory_bytes, j.memory_bytes),
    ready_at = now() + e.wait_ms * interval '1 millisecond',
    finished_at = case when e.state = 'queued' then null else now() end,
    metrics = e.metrics::jsonb,
    reason = e.reason, reason_code = e.reason_code, reason_message = e.reason_message
from unnest(
    $1::uuid[], $2::int[], $3::job_state[], $4::job_state[], $5::int[], $6::int[], $7::int[], $8::int[],
    $9::bigint[], $10::text[], $11::reason_kind[], $12::int[], $13::text[], $14::int[], $15::bigint[]
) as e (
    sweep_id, number, expected, state, failures, ooms, losses, preemptions, wait_ms, metrics,
    reason, reason_code, reason_message, returned, memory_bytes
)
where j.sweep_id = e.sweep_id and j.number = e.number and j.state = e.expected
