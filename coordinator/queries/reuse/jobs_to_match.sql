-- A page of the jobs that a sweep has still to run, and that have their parameters.
select number, parameters::text as parameters, point
from jobs
where sweep_id = $1 and number > $2 and state = 'queued' and attached_sweep is null and waits_for is null
order by number
limit $3
