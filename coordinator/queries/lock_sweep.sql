-- Waits for claims and settlements of the sweep that are under way, and holds off new ones.
select id from sweeps where id = $1 for update
