update schedules set next_at = $2 where id = $1
