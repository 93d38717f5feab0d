update joined_agents set revoked_at = now() where agent_id = $1 and revoked_at is null returning name
