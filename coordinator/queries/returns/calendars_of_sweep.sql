-- The calendars of a sweep's results, also of those that it reuses, the one of most jobs first.
select c.id, c.times
from (
    select r.sweep_id, r.calendar, count(*) as jobs
    from results p
    cross join lateral (
        select sweep_id, calendar from returns where attempt_id = p.attempt_id offset 0
    ) r
    where p.sweep_id = $1
    group by r.sweep_id, r.calendar
) u
join calendars c on c.sweep_id = u.sweep_id and c.id = u.calendar
order by u.jobs desc, c.id
limit $2
