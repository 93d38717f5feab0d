-- One for each time: what is there stays. Nobody takes them before $6 has passed, but whoever asks for this one.
insert into schedule_runs (schedule_id, at_time, outcome, why, asked_by, due_at)
select $1, at_time, $3, $4, $5, now() + $6::interval
from unnest($2::timestamptz[]) as t (at_time)
on conflict do nothing
