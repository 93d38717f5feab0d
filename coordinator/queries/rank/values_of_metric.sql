-- A page of a sweep's jobs in the order of their numbers, after number $2, each with its metric $3, if it has reported it.
select number, parameters::text as parameters, point, state = 'failed' as "failed!", (metrics ->> $3)::float8 as value
from jobs
where sweep_id = $1 and number > $2
order by number
limit $4
