-- A page of results whose document is not in the store as it should be, oldest first: those after the result ($2, $3) that
-- was published at $1.
select sweep_id, job, published_at
from results
where not written and (published_at, sweep_id, job) > ($1::timestamptz, $2::uuid, $3::int)
order by published_at, sweep_id, job
limit $4
