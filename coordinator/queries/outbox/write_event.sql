-- Writes down that event $3 of sweep $1 is to be told to all of its receivers, with the id $2. The sweep is held, or was
-- changed by this transaction: what is written is committed with what it tells of.
insert into outbox (
    event_id, place, sweep_id, event, happened_at, queued, running, succeeded, failed, cancelled, pruned, receiver, host
)
select
    $2, r.place, s.id, $3, coalesce(s.ended_at, s.paused_at, now()),
    c.queued, c.running, c.succeeded, c.failed, c.cancelled, c.pruned, r.address,
    coalesce(substring(lower(r.address) from '^(?:slack[+])?https?://(?:[^/?#]*@)?([^/?#]+)'), 'mail')
from sweeps s
cross join lateral (
    select
        coalesce(sum(queued), 0) as queued, coalesce(sum(running), 0) as running,
        coalesce(sum(succeeded), 0) as succeeded, coalesce(sum(failed), 0) as failed,
        coalesce(sum(cancelled), 0) as cancelled, coalesce(sum(pruned), 0) as pruned
    from sweep_counts where sweep_id = s.id
) c
cross join lateral unnest(s.notify) with ordinality r (address, place)
where s.id = $1
