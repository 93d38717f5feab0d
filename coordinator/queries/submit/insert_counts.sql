insert into sweep_counts (sweep_id, queued) values ($1, $2)
