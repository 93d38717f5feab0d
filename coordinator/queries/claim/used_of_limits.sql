-- What live attempts take of these limits. A sweep that has any has not ended.
select l.key as "name!", sum(l.value::int * a.live)::bigint as "used!"
from sweeps s
cross join lateral jsonb_each_text(s.limits) as l (key, value)
cross join lateral (
    select count(*) as live from attempts
    where sweep_id = s.id and state in ('leased', 'preparing', 'running', 'publishing')
) a
where s.ended_at is null and l.key = any($1)
group by l.key
