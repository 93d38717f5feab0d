-- What these jobs of a sweep returned, with the times.
select p.job, c.times, r.returns
from (
    select job, attempt_id from results where sweep_id = $1 and job = any($2::int[])
) p
cross join lateral (
    select sweep_id, calendar, returns from returns where attempt_id = p.attempt_id offset 0
) r
join calendars c on c.sweep_id = r.sweep_id and c.id = r.calendar
