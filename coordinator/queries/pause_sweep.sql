update sweeps set paused_at = now(), pause_reason = ''
where id = $1 and paused_at is null and ended_at is null and cancelled_at is null
returning id
