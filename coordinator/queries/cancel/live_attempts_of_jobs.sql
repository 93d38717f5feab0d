-- The live attempt of each of these jobs of a sweep, found by sweep and job (`offset 0`).
select a.id
from (select distinct job from unnest($2::int[]) as job) w
cross join lateral (
    select id from attempts
    where sweep_id = $1 and job = w.job and state in ('leased', 'preparing', 'running', 'publishing') offset 0
) a
