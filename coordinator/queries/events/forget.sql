-- Removes events that are older than $1, or that have more than $2 after them: $3 of them at most. The latest stays: it
-- says where those who watch have come to. Where the oldest is to stay, nothing else is looked at.
with newest as (
    select xact, id from events order by xact desc, id desc limit 1
), oldest as (
    select id, at from events order by xact, id limit 1
)
delete from events e
where (select o.at < now() - $1::interval or o.id < n.id - $2 from oldest o, newest n)
    and (e.xact, e.id) in (select xact, id from events order by xact, id limit $3)
    and (e.at < now() - $1::interval or e.id < (select id from newest) - $2)
    and e.id <> (select id from newest)
