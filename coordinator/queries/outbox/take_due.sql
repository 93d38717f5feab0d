-- Takes at most $1 messages that are due, the one that is due the longest of each host, and none for the hosts $2, which
-- this coordinator is talking to. Until $3 has passed no other coordinator takes them. One that is taken by another
-- coordinator meanwhile is passed over: its row is locked, or no longer due.
with first as (
    select distinct on (host) event_id, place
    from outbox
    where delivered_at is null and given_up_at is null and due_at <= now() and host <> all ($2::text[])
    order by host, due_at, event_id, place
), taken as (
    select o.event_id, o.place
    from first f
    join outbox o using (event_id, place)
    where o.delivered_at is null and o.given_up_at is null and o.due_at <= now()
    order by o.due_at
    limit $1
    for update of o skip locked
)
update outbox o
set tries = o.tries + 1, due_at = now() + $3::interval
from taken t, sweeps s
where o.event_id = t.event_id and o.place = t.place and s.id = o.sweep_id
returning
    o.event_id, o.place, o.sweep_id, o.event as "event: Pg<SweepEvent>", o.happened_at, o.receiver, o.host, o.tries,
    o.queued, o.running, o.succeeded, o.failed, o.cancelled, o.pruned,
    s.name, s.owner, s.created_at, s.cancel_reason
