insert into jobs (sweep_id, number, parameters)
select $1, $2 + ordinality::int - 1, parameters::json
from unnest($3::text[]) with ordinality as row (parameters, ordinality)
