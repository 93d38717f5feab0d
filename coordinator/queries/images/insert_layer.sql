insert into layers (sha256, size, stored_as) values ($1, $2, $3)
on conflict (sha256) do nothing
returning sha256
