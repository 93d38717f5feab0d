insert into images (id, name, size, pushed_by) values ($1, $2, $3, $4)
on conflict (id, name) do update set pushed_by = excluded.pushed_by, pushed_at = now()
returning id, name, size, pushed_by, pushed_at
