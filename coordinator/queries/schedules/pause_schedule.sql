update schedules set paused_at = now() where id = $1 and paused_at is null
