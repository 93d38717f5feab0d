-- The sweep is found by its id, not among all that are open.
update sweeps set paused_at = now(), pause_reason = ''
where id = $1 and paused_at is null and coalesce(ended_at is null, false) and cancelled_at is null
returning id
