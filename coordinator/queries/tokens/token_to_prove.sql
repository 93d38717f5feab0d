-- What a token is compared with, and what its holder may do.
select
    name, role as "role: Pg<Role>", owners, hash, issuer, expires_at, revoked_at is not null as "revoked!",
    coalesce(expires_at <= now(), false) as "expired!"
from tokens
where id = $1
