-- Takes the first run that waits of some schedule, or that of the schedule $1 for $4, if it is the first: nobody else takes it,
-- nor a later one of that schedule, until $2 has passed.
with first as (
    select r.schedule_id, r.at_time
    from schedule_runs r
    where r.outcome = 'waiting' and case
        when $1::uuid is null then r.due_at <= now()
        else r.schedule_id = $1 and r.at_time = $4::timestamptz
    end and not exists (
        select from schedule_runs e
        where e.schedule_id = r.schedule_id and e.outcome = 'waiting' and e.at_time < r.at_time
    )
    order by r.due_at
    limit 1
    for update of r skip locked
)
update schedule_runs r
set due_at = now() + $2::interval
from first f, schedules s
where r.schedule_id = f.schedule_id and r.at_time = f.at_time and s.id = f.schedule_id
returning
    r.at_time, r.created_at < now() - $3::interval as "is_late!",
    s.id, s.name, s.owner, s.rule, s.manifest, s.rows, s.overlap as "overlap: Pg<Overlap>"
