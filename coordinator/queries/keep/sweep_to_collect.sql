select id, name, jobs,
    expired_at is not null or $2 and coalesce(ended_at + keep_seconds * interval '1 second' <= now(), false) as "expired!"
from sweeps
where id = $1
