insert into coordinators (id, stamped_at) values ($1, now())
on conflict (id) do update set stamped_at = now()
