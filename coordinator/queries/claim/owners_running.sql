-- Jobs that run in batches count as the containers that they fill.
select s.owner, coalesce(sum(ceil(c.running::numeric / coalesce(s.batch, 1))), 0)::bigint as "running!"
from sweeps s
cross join lateral (
    select sum(running) as running from sweep_counts where sweep_id = s.id
) c
where s.ended_at is null
group by s.owner
