-- What the live attempts of these jobs of a sweep said last; each is found by sweep and job (`offset 0`).
select w.job as "job!", p.at, p.fraction, p.done, p.total, p.note, p.metrics::text as metrics
from (select distinct job from unnest($2::int[]) as job) w
cross join lateral (
    select id from attempts
    where sweep_id = $1 and job = w.job and state in ('leased', 'preparing', 'running', 'publishing') offset 0
) a
join progress p on p.attempt_id = a.id
