-- The best by metric $4 of jobs $2 to $3 of a sweep, lowest first if $5, and how many have reported it; of equals, the one
-- with the lowest number. Metrics are finite.
select number, parameters::text as parameters, point, (metrics ->> $4)::float8 as "value!", count(*) over () as "reported!"
from jobs
where sweep_id = $1 and number between $2 and $3 and state = 'succeeded' and metrics ? $4
order by case when $5 then (metrics ->> $4)::float8 else -((metrics ->> $4)::float8) end, number
limit 1
