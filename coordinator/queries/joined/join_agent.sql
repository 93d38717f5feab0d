-- An agent joins, or joins again. An id that is another key's, or whose key was revoked, gives no row.
insert into joined_agents (agent_id, name, key_hash, token_id, labels, expires_at)
select $1, $2, $3, id, labels, $5 from tokens where id = $4
on conflict (agent_id) do update
set name = excluded.name, key_hash = excluded.key_hash, token_id = excluded.token_id, labels = excluded.labels,
    joined_at = now(), expires_at = excluded.expires_at, revoked_at = null
where (joined_agents.revoked_at is null) = (joined_agents.key_hash = excluded.key_hash)
returning agent_id
