select coalesce(sum(waiting), 0) as "waiting!" from sweep_counts where sweep_id = $1
