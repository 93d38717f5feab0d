-- The limits that operators have set, and those that open sweeps name; what live attempts take of each.
with used as (
    select l.key as name, sum(l.value::int) as used
    from attempts a
    join sweeps s on s.id = a.sweep_id
    cross join lateral jsonb_each_text(s.limits) as l (key, value)
    where a.state in ('leased', 'preparing', 'running', 'publishing')
    group by l.key
), named as (
    select distinct l.key as name
    from sweeps s
    cross join lateral jsonb_object_keys(s.limits) as l (key)
    where s.ended_at is null
)
select
    name as "name!", coalesce(l.capacity, 0) as "capacity!", coalesce(u.used, 0) as "used!",
    l.name is not null as "set!"
from limits l
full join named n using (name)
left join used u using (name)
order by name
