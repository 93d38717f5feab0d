-- Jobs of a sweep that takes these points of its matrix.
insert into jobs (sweep_id, number, point)
select $1, $2 + ordinality::int - 1, point
from unnest($3::bigint[]) with ordinality as row (point, ordinality)
