update sweeps set cancelled_at = null where id = $1
