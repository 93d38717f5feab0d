-- Folds the changes of the sweeps that have many into one row each; the sums stay.
with many as (
    select sweep_id from sweep_counts group by sweep_id having count(*) > $1 limit 100
), folded as (
    delete from sweep_counts c using many m where c.sweep_id = m.sweep_id
    returning c.*
)
insert into sweep_counts
select sweep_id, sum(queued), sum(running), sum(succeeded), sum(failed), sum(cancelled),
    sum(attached)
from folded group by sweep_id
