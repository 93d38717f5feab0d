-- Sweeps that have no job left to run, as far as their counts say.
select s.id
from sweeps s
cross join lateral (
    select sum(queued) + sum(running) as left_over from sweep_counts where sweep_id = s.id
) c
where s.ended_at is null and c.left_over = 0 and (s.open_jobs is null or s.closed_at is not null)
order by s.id
limit 1000
