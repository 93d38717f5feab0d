-- In the order of their ids: two that add the same ones wait for each other, and not both ways.
insert into calendars (sweep_id, id, times)
select distinct on (sweep_id, id) sweep_id, id, times
from unnest($1::uuid[], $2::bytea[], $3::bytea[]) as c (sweep_id, id, times)
order by sweep_id, id
on conflict do nothing
