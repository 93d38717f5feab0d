-- Those of these agents whose certificates still hold.
select agent_id from joined_agents where agent_id = any($1) and revoked_at is null and expires_at > now()
