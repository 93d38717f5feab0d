-- How many of these jobs of a sweep wait, or run still. The sweep is held.
select count(*) as "open!"
from (select distinct number from unnest($2::int[]) as number) w
cross join lateral (
    select state from jobs where sweep_id = $1 and number = w.number offset 0
) j
where j.state in ('queued', 'running')
