update sweeps set cancelled_at = coalesce(cancelled_at, now()) where id = $1
