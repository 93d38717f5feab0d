-- How long jobs of a family take, by the latest that have succeeded, of its newest sweeps that have any. What was tried in
-- vain counts too: a job took as long as all its attempts.
select s.name as "sweep!", p.jobs as "jobs!", p.seconds as "seconds!"
from (
    select id, name, created_at from sweeps
    where family = $1 and removed_at is null
    order by created_at desc
    limit 20
) s
cross join lateral (
    select count(*) filter (where state = 'succeeded') as jobs,
        sum(extract(epoch from finished_at - started_at))::float8 as seconds
    from (
        select state, started_at, finished_at from attempts
        where sweep_id = s.id and started_at is not null and finished_at is not null
        order by sweep_id desc, job desc
        limit 200
    ) latest
) p
where p.jobs > 0
order by s.created_at desc
limit 1
