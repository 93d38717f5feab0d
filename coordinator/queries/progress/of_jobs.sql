-- What the live attempts of these jobs of a sweep said last.
select a.job, p.at, p.fraction, p.done, p.total, p.note, p.metrics::text as metrics
from attempts a
join progress p on p.attempt_id = a.id
where a.sweep_id = $1 and a.job = any($2) and a.state in ('leased', 'preparing', 'running', 'publishing')
