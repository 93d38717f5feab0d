-- A page of the jobs that have succeeded, or in other states ($5), and reported metric $3 in the order of their numbers, after number $2.
select number, parameters::text as parameters, point, metrics::text as "metrics!",
    state as "state: Pg<JobState>"
from jobs
where sweep_id = $1 and number > $2 and metrics ? $3 and state = any($5)
order by number
limit $4
