insert into page_sessions (key, token_id, root_key, expires_at) values ($1, $2, $3, now() + $4::interval)
