-- Agents by their name, or by the beginning of their id.
select id, name = $1 as "by_name!" from agents
where name = $1 or (length($2) >= 4 and replace(id::text, '-', '') like $2 || '%')
order by last_seen_at desc
limit 3
