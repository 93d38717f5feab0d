-- A page of the jobs that reported metric $3 in the order of their numbers, after number $2.
select number, parameters::text as parameters, point, metrics::text as "metrics!"
from jobs
where sweep_id = $1 and number > $2 and metrics ? $3
order by number
limit $4
