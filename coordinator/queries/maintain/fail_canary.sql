update sweeps set paused_at = now(), pause_reason = 'its canary failed'
where id = $1 and canary_passed_at is null and paused_at is null and cancelled_at is null
