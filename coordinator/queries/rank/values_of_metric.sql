-- A page of a sweep's jobs in the order of their numbers, after number $2, each with its metric $3, if it has succeeded and
-- reported it.
select number, parameters::text as parameters, point, state = 'failed' as "failed!", state = 'pruned' as "pruned!",
    case when state = 'succeeded' then (metrics ->> $3)::float8 end as value
from jobs
where sweep_id = $1 and number > $2
order by number
limit $4
