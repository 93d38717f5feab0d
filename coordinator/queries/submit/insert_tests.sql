-- Jobs $2[i] of a sweep that is being queued test the best of jobs $4[i] to $5[i], window $3[i]'s training, and wait for it.
with tests as (
    insert into window_tests (sweep_id, job, window_number, first_job, last_job)
    select $1, * from unnest($2::int[], $3::int[], $4::int[], $5::int[])
    returning job, window_number
)
update jobs j
set waits_for = t.window_number, ready_at = 'infinity'
from tests t
where j.sweep_id = $1 and j.number = t.job
