-- A page of a sweep's results in the order of their jobs' numbers, after number $2, each with what its job returned.
select p.job, r.calendar as "calendar?", r.returns as "returns?"
from (
    select job, attempt_id from results where sweep_id = $1 and job > $2 order by job limit $3
) p
left join lateral (
    select calendar, returns from returns where attempt_id = p.attempt_id offset 0
) r on true
order by p.job
