-- A page of the jobs of a sweep that were tried, in the order of their numbers, after number $2.
select number, parameters::text as parameters, point, state = 'failed' as "failed!", state = 'pruned' as "pruned!"
from jobs
where sweep_id = $1 and number > $2 and state in ('succeeded', 'failed', 'pruned')
order by number
limit $3
