-- What has passed meanwhile is not made up: $2 is the first time that is still to come.
update schedules set paused_at = null, next_at = $2 where id = $1 and paused_at is not null
