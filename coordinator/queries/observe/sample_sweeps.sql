-- Notes how many jobs of each open sweep have ended, of the newest $1 of them.
insert into sweep_samples (sweep_id, at, ended)
select s.id, now(), c.ended
from (select id from sweeps where ended_at is null order by created_at desc limit $1) s
cross join lateral (
    select coalesce(sum(succeeded + failed + pruned), 0) as ended from sweep_counts where sweep_id = s.id
) c
on conflict (sweep_id, at) do nothing
