delete from coordinators where id <> $1 and stamped_at < now() - interval '1 day'
