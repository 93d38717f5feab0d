-- How many finished sweeps a list leaves out that is asked for those that have not finished; the filters are the same.
select count(*) as "finished!"
from sweeps s
where s.ended_at is not null and s.removed_at is null
    and ($1::text is null or s.owner = $1)
    and ($2::text is null or s.name like $2)
    and ($3::timestamptz is null or s.created_at >= $3)
    and s.tags @> $4::text[]
