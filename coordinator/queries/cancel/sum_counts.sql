select
    coalesce(sum(queued), 0) as "queued!",
    coalesce(sum(queued + running + succeeded + failed + cancelled + pruned), 0) as "jobs!"
from sweep_counts where sweep_id = $1
