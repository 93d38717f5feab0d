-- Owners who have a quota of their own or sweeps that have not ended, of these only $1 if it is given: what holds for each. The
-- row without a name is for those that have none of their own.
with known as (
    select owner from quotas
    union
    select owner from sweeps where ended_at is null
    union
    select ''
)
select
    k.owner as "owner!", own.owner is not null as "set!",
    coalesce(own.queued, most.queued) as queued, coalesce(own.running, most.running) as running,
    coalesce(own.cpu_millis, most.cpu_millis) as cpu_millis,
    coalesce(own.submits_per_minute, most.submits_per_minute) as submits_per_minute,
    coalesce(own.bytes, most.bytes) as bytes,
    o.containers as "lately?"
from known k
left join quotas own on own.owner = k.owner
left join quotas most on most.owner = ''
left join owner_shares o on o.owner = k.owner
where $1::text[] is null or k.owner = '' or k.owner = any($1)
order by k.owner
