update sweeps set cancelled_at = null, ended_at = null where id = $1
