update sweeps set collected_at = now() where id = $1
