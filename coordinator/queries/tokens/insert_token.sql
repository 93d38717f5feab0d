-- A new token; $8 is how long it holds, null for ever.
insert into tokens (id, name, role, owners, labels, uses_left, hash, created_by, expires_at, issuer, of_page)
values ($1, $2, $3, $4, $5, $6, $7, $9, now() + $8::interval, $10, $11)
