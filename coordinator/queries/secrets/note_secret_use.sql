-- To the minute, so that many jobs do not write the same row.
update secrets set last_used_at = now()
where name = any($1::text[]) and (last_used_at is null or last_used_at < now() - interval '1 minute')
