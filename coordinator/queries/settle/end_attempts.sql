-- Ends attempts. What is noted from then on is what its owner should know besides how it ended. One whose container was
-- heard to have started only now is noted so on the way.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
update attempts a
set state = e.state, lease_expires_at = null, finished_at = now(), note = e.note,
    started_at = case when e.image_id is null then a.started_at else coalesce(a.started_at, now()) end,
    image_id = coalesce(e.image_id, a.image_id),
    peak_memory_bytes = e.peak_memory_bytes, cpu_micros = e.cpu_micros, written_bytes = e.written_bytes,
    wall_millis = e.wall_millis, volume_fingerprints = e.volume_fingerprints, given = e.given,
    reason = e.reason, reason_code = e.reason_code, reason_message = e.reason_message
from unnest($1::uuid[], $2::attempt_state[], $3::reason_kind[], $4::int[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::jsonb[], $12::jsonb[], $13::text[])
    as e (id, state, reason, reason_code, reason_message, image_id, peak_memory_bytes, cpu_micros, written_bytes,
        wall_millis, volume_fingerprints, given, note)
where a.id = e.id and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
