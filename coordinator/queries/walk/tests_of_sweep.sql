-- The tests of a sweep, each with how many of its window's training jobs have ended.
select t.job, t.window_number, t.first_job, t.last_job, t.chosen_job, t.chosen_value, t.reported,
    (
        select count(*) from jobs j
        where j.sweep_id = t.sweep_id and j.number between t.first_job and t.last_job
            and j.state in ('succeeded', 'failed', 'cancelled', 'pruned')
    ) as "ended!"
from window_tests t
where t.sweep_id = $1 and ($2::int is null or t.job = $2)
order by t.job
