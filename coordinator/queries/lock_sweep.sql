-- Waits for claims and settlements of the sweep that are under way, and holds off new ones.
select cancelled_at is not null as "cancelled!" from sweeps where id = $1 for update
