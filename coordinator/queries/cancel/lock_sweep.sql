-- Waits for claims and settlements of the sweep that are under way, and holds off new ones.
select name, cancelled_at is not null as "cancelled!", expired_at is not null as "expired!" from sweeps where id = $1 for update
