-- The latest $2 are kept.
delete from schedule_runs
where schedule_id = $1 and outcome <> 'waiting' and at_time < (
    select at_time from schedule_runs where schedule_id = $1 order by at_time desc offset $2 limit 1
)
