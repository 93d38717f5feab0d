insert into secrets (name, owners, key_id, nonce, sealed, set_by)
values ($1, $2, $3, $4, $5, $6)
on conflict (name) do update
set owners = excluded.owners, key_id = excluded.key_id, nonce = excluded.nonce, sealed = excluded.sealed,
    set_by = excluded.set_by, set_at = now()
