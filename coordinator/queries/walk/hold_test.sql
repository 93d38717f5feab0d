-- A test that still waits, if all training jobs of its window have ended. Its sweep is held.
select t.window_number, t.first_job, t.last_job
from jobs w
join window_tests t on t.sweep_id = w.sweep_id and t.job = w.number
where w.sweep_id = $1 and w.number = $2 and w.state = 'queued' and w.waits_for is not null
    and not exists (
        select from jobs j
        where j.sweep_id = $1 and j.number between t.first_job and t.last_job and j.state in ('queued', 'running')
    )
for update of w
