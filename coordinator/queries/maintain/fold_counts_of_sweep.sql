-- Folds the changes of one sweep into one row; the sums stay.
with folded as (
    delete from sweep_counts where sweep_id = $1
    returning *
)
insert into sweep_counts (sweep_id, queued, running, succeeded, failed, cancelled, pruned, attached, waiting)
select sweep_id, sum(queued), sum(running), sum(succeeded), sum(failed), sum(cancelled), sum(pruned), sum(attached), sum(waiting)
from folded group by sweep_id
