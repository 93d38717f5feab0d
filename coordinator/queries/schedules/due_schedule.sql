-- The schedule that is due the longest. Its row is locked, so that whoever comes later passes it over; it goes on from next_at.
select
    s.id, s.rule, s.catch_up as "catch_up: Pg<CatchUp>", s.catch_up_seconds,
    s.next_at as "next_at!", now() as "now!",
    (select count(*) from schedule_runs r where r.schedule_id = s.id and r.outcome = 'waiting') as "waiting!"
from schedules s
where s.paused_at is null and s.next_at <= now()
order by s.next_at
limit 1
for update skip locked
