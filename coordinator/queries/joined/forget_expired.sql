-- Agents whose certificates ended long ago.
delete from joined_agents where expires_at < now() - interval '30 days'
