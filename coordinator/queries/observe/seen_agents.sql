-- Agents that were heard of within the last hour, by state; one that drained before it fell silent has left.
select
    count(*) filter (where not silent and not leaving and unhealthy = '') as "ready!",
    count(*) filter (where not silent and leaving) as "draining!",
    count(*) filter (where not silent and not leaving and unhealthy <> '') as "unhealthy!",
    count(*) filter (where silent and not leaving) as "gone!"
from (
    select unhealthy, draining or drained_at is not null as leaving,
        disconnected_at is not null or last_seen_at < now() - $1::interval as silent
    from agents
    where last_seen_at > now() - interval '1 hour'
) a
