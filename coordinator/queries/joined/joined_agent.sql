-- What is known of an agent with a certificate.
select name, key_hash, labels, expires_at <= now() as "expired!", revoked_at is not null as "revoked!"
from joined_agents
where agent_id = $1
