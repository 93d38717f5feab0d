select
    id, name, role as "role: Pg<Role>", owners, labels, uses_left, created_by, created_at, expires_at, last_used_at, revoked_at,
    issuer
from tokens
where id = $1
