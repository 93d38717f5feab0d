-- There is nothing to choose its parameters from.
update jobs
set state = 'failed', finished_at = now(), reason = 'outputs', reason_message = $3
where sweep_id = $1 and number = $2 and state = 'queued' and waits_for is not null
