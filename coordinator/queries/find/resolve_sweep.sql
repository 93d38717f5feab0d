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
    s.id, s.name, s.owner, s.jobs, coalesce(s.open_jobs, s.jobs) as "known!", s.expired_at, s.reuse is not null as "reuses!", f.rank as "rank!",
    n.sweeps as "same_name!", n.newer = 0 as "is_newest!"
from found f
cross join lateral (
    select * from sweeps where id = f.id offset 0
) s
cross join lateral (
    select count(*) as sweeps, count(*) filter (where (o.created_at, o.id) > (s.created_at, s.id)) as newer
    from (select created_at, id from sweeps where name = s.name and removed_at is null offset 0) o
) n
where s.removed_at is null
order by f.rank, s.id
