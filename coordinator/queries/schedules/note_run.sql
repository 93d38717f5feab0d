update schedule_runs
set outcome = $3, why = $4, sweep_id = $5, noted_at = now()
where schedule_id = $1 and at_time = $2 and outcome = 'waiting'
