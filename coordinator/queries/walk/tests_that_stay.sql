-- The windows of these training jobs ($2; null: of all jobs that have not ended well) whose tests have their parameters.
select distinct t.window_number
from window_tests t
join jobs j on j.sweep_id = t.sweep_id and j.number between t.first_job and t.last_job
where t.sweep_id = $1 and t.chosen_job is not null and j.state = 'queued'
    and ($2::int[] is null or j.number = any($2))
order by 1
