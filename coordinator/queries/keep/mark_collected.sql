update sweeps set collected_at = now() where id = $1 returning expired_at is not null as "expired!"
