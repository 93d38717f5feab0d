-- A test that waited is ready, with these parameters.
update jobs
set point = $3, parameters = $4::text::json, waits_for = null, ready_at = now()
where sweep_id = $1 and number = $2 and state = 'queued' and waits_for is not null
