update sweeps set cancelled_at = coalesce(cancelled_at, now()), closed_at = case when open_jobs is not null then coalesce(closed_at, now()) end where id = $1
