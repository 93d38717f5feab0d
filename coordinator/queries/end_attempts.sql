update attempts a
set state = e.state, lease_expires_at = null, finished_at = now(), note = '',
    reason = e.reason, reason_code = e.reason_code, reason_message = e.reason_message
from unnest($1::uuid[], $2::attempt_state[], $3::reason_kind[], $4::int[], $5::text[])
    as e (id, state, reason, reason_code, reason_message)
where a.id = e.id and a.state in ('leased', 'preparing', 'running', 'publishing')
