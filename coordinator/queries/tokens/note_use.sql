-- When tokens were used last: once a minute at most.
update tokens set last_used_at = now()
where id = any($1) and coalesce(last_used_at < now() - interval '1 minute', true)
