update schedule_runs
set due_at = now() + $3::interval, why = $4, noted_at = now()
where schedule_id = $1 and at_time = $2 and outcome = 'waiting'
