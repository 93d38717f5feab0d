-- The families that were tried last.
select family, count(*) as "sweeps!", sum(jobs)::bigint as "jobs!", max(created_at) as "latest!"
from sweeps
where family <> ''
group by family
order by max(created_at) desc, family
limit $1
