-- The sweeps whose canary is over: all its jobs have succeeded, or one has failed for good. One that was pruned has run as it
-- should.
select s.id, c.failed = 0 as "passed!"
from sweeps s
cross join lateral (
    select
        count(*) filter (where j.state in ('succeeded', 'pruned')) as succeeded,
        count(*) filter (where j.state in ('failed', 'cancelled')) as failed
    from jobs j where j.sweep_id = s.id and j.number < s.canary
) c
where s.canary > 0 and s.canary_passed_at is null and s.ended_at is null and s.cancelled_at is null
    and (c.failed > 0 and s.paused_at is null or c.succeeded = least(s.canary, s.jobs))
order by s.id
