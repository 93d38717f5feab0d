-- Those of these tokens that still hold.
select id from tokens where id = any($1) and revoked_at is null and coalesce(expires_at > now(), true)
