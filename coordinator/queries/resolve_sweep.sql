-- The newest sweep of that name, and those whose id begins with these digits; two of the latter are ambiguous.
(
    select id, name, jobs, expired_at, reuse is not null as "reuses!", true as "by_name!" from sweeps
    where name = $1 order by created_at desc limit 1
)
union all
(
    select id, name, jobs, expired_at, reuse is not null, false from sweeps
    where length($2) >= 4 and replace(id::text, '-', '') like $2 || '%'
    limit 2
)
