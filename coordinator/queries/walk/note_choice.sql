update window_tests
set chosen_job = $3, chosen_value = $4, reported = $5, chosen_at = now()
where sweep_id = $1 and job = $2
