-- What became of attempts that have files in the store, attempt $2[i] of job $1[i] of sweep $3: whether nothing more can come
-- of one, whether that is so for long enough, and whether its outputs count, for this sweep or for another one.
select e.job as "job!", e.number as "number!",
    a.state in ('succeeded', 'failed', 'cancelled', 'lost', 'returned') as "ended!",
    coalesce(a.finished_at < now() - $4::interval, false) as "old!",
    exists (
        select from results r join sweeps s on s.id = r.sweep_id
        where r.attempt_id = a.id and s.expired_at is null and not ($5 and r.sweep_id = $3)
    ) as "counts!"
from unnest($1::int[], $2::int[]) as e (job, number)
join attempts a on a.sweep_id = $3 and a.job = e.job and a.number = e.number
