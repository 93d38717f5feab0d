-- What was and is to be told of a sweep, the latest event first.
select
    event_id, event as "event: Pg<SweepEvent>", happened_at, receiver, tries, due_at, last_error, delivered_at, given_up_at
from outbox
where sweep_id = $1
order by happened_at desc, event_id, place
limit 100
