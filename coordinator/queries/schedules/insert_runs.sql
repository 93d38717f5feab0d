-- One for each time: what is there stays.
insert into schedule_runs (schedule_id, at_time, outcome, why, asked_by)
select $1, at_time, $3, $4, $5
from unnest($2::timestamptz[]) as t (at_time)
on conflict do nothing
