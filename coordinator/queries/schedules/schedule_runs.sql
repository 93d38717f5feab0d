-- The latest first.
select at_time, outcome as "outcome: Pg<RunOutcome>", why, sweep_id, asked_by, noted_at
from schedule_runs
where schedule_id = $1 and ($2::timestamptz is null or at_time = $2)
order by at_time desc
limit $3
