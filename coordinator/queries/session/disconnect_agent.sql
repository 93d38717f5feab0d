-- A session's stream has ended.
update agents set disconnected_at = now() where id = $1 and session = $2 and disconnected_at is null
