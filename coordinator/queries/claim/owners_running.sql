select s.owner, coalesce(sum(c.running), 0)::bigint as "running!"
from sweeps s
cross join lateral (
    select sum(running) as running from sweep_counts where sweep_id = s.id
) c
where s.ended_at is null
group by s.owner
