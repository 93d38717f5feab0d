-- With $1, those that sweeps of these owners may name; else all.
select name, owners, key_id, set_by, set_at, last_used_at
from secrets
where $1::text[] is null or owners && $1 or '*' = any(owners)
order by name
