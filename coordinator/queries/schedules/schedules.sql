-- All of them, or that of one name, each with the latest of its runs.
select
    s.id, s.name, s.owner, s.rule, s.sweep_name, s.jobs, s.catch_up as "catch_up: Pg<CatchUp>", s.overlap as "overlap: Pg<Overlap>",
    s.catch_up_seconds, s.next_at,
    s.paused_at is not null as "paused!", s.created_by, s.created_at,
    r.at_time as "at_time?", r.outcome as "outcome?: Pg<RunOutcome>", r.why, r.sweep_id, r.asked_by, r.noted_at as "noted_at?"
from schedules s
left join lateral (
    select * from schedule_runs r where r.schedule_id = s.id order by r.at_time desc limit 1
) r on true
where $1::text is null or s.name = $1
order by s.name
