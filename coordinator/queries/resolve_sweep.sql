-- Sweeps that a text may mean: of rank 0 the one whose id it is, of rank 1 the newest of that name, of rank 2 those whose
-- ids it begins ($2 to $3; null where it can't be an id), 6 at most.
with found as (
    (select id, 0 as rank from sweeps where id = $2 and $2 = $3)
    union all
    (select id, 1 from sweeps where name = $1 and removed_at is null order by created_at desc, id desc limit 1)
    union all
    (select id, 2 from sweeps where id between $2 and $3 and $2 <> $3 and removed_at is null order by id limit 6)
)
select
    s.id, s.name, s.jobs, s.expired_at, s.reuse is not null as "reuses!", f.rank as "rank!",
    (select count(*) from sweeps o where o.name = s.name and o.removed_at is null) as "same_name!",
    not exists (
        select from sweeps o
        where o.name = s.name and o.removed_at is null and (o.created_at, o.id) > (s.created_at, s.id)
    ) as "is_newest!"
from found f
join sweeps s on s.id = f.id
where s.removed_at is null
order by f.rank, s.id
