-- Folds the changes of the sweeps that have more than $1 of them into one row each; the sums stay. Only sweeps that have not
-- ended are looked at, and of each no more rows than it takes to know; one that ends is folded then.
with many as (
    select s.id
    from sweeps s
    where s.ended_at is null and exists (select from sweep_counts where sweep_id = s.id offset $1)
    limit 100
), folded as (
    delete from sweep_counts c using many m where c.sweep_id = m.id
    returning c.*
)
insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, pruned, attached, waiting)
select sweep_id, sum(queued), sum(running), sum(succeeded), sum(failed), sum(cancelled), sum(pruned), sum(attached), sum(waiting)
from folded group by sweep_id
