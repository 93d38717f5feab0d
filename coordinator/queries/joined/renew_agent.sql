update joined_agents set name = $2, expires_at = greatest(expires_at, $4)
where agent_id = $1 and key_hash = $3 and revoked_at is null
