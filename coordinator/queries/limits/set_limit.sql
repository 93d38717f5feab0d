insert into limits (name, capacity) values ($1, $2)
on conflict (name) do update set capacity = excluded.capacity
