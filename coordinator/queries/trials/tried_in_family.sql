-- Jobs that have succeeded, failed or were pruned, of sweep $1 and of all sweeps of family $2.
select coalesce(sum(c.succeeded + c.failed + c.pruned), 0)::bigint as "tried!"
from sweep_counts c
where c.sweep_id = $1 or $2 <> '' and c.sweep_id in (select id from sweeps where family = $2)
