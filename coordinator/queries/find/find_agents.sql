-- Agents that a text may mean: of rank 0 the one whose id it is, of rank 1 those of that name, of rank 2 those whose ids it
-- begins ($2 to $3; null where it can't be an id). One is offline when it was silent for $4.
with found as (
    select id, 0 as rank from agents where id = $2 and $2 = $3
    union all
    select id, 1 from agents where name = $1
    union all
    select id, 2 from agents where id between $2 and $3 and $2 <> $3
)
select g.id, g.name, f.rank as "rank!", g.last_seen_at < now() - $4::interval as "offline!"
from found f
cross join lateral (
    select id, name, last_seen_at from agents where id = f.id offset 0
) g
order by f.rank, g.last_seen_at desc
limit 20
