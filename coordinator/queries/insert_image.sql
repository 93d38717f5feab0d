insert into images (id, name, size, pushed_by) values ($1, $2, $3, $4)
on conflict (id) do update set name = excluded.name, pushed_by = excluded.pushed_by, pushed_at = now()
returning id, name, size, pushed_by, pushed_at
