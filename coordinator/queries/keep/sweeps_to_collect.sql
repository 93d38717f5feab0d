-- Sweeps in whose directories there may be garbage, after sweep $2: open ones once a day, ended ones once more when all
-- that they left is old enough ($1), or all ($4), those that were given up, and if $5 those that are to be, until it is gone.
-- One that is to be but was not given up may just now be taken over by another.
with looked_at as (
    select id, name, jobs, ended_at, collected_at, created_at,
        expired_at is not null or $5 and coalesce(ended_at + keep_seconds * interval '1 second' <= now(), false)
            as expired
    from sweeps
    where $2::uuid is null or id > $2
)
select id, name, jobs, expired as "expired!"
from looked_at
where case
        when expired then collected_at is null or collected_at < ended_at
        when $4 then true
        when ended_at is not null
            then ended_at + $1::interval < now()
                and (collected_at is null or collected_at < ended_at + $1::interval)
        else coalesce(collected_at, created_at) < now() - interval '1 day'
    end
order by id
limit $3
