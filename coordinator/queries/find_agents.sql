-- Agents that a text may mean: of rank 0 the one whose id it is, of rank 1 those of that name, of rank 2 those whose ids it
-- begins ($2 to $3; null where it can't be an id). One is offline when it was silent for $4.
select
    id, name,
    case when id = $2 and $2 = $3 then 0 when name = $1 then 1 else 2 end as "rank!",
    last_seen_at < now() - $4::interval as "offline!"
from agents
where name = $1 or id between $2 and $3
order by 3, last_seen_at desc
limit 20
