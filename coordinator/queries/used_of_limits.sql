-- What live attempts take of these limits.
select l.key as "name!", sum(l.value::int) as "used!"
from attempts a
join sweeps s on s.id = a.sweep_id
cross join lateral jsonb_each_text(s.limits) as l (key, value)
where a.state in ('leased', 'preparing', 'running', 'publishing') and l.key = any($1)
group by l.key
