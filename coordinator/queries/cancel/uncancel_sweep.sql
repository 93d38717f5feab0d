update sweeps set cancelled_at = null, cancel_reason = '', ended_at = null where id = $1
