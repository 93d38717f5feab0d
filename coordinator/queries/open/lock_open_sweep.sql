-- Waits for other additions to the sweep, and holds off new ones.
select name, open_jobs, closed_at is not null as "closed!", cancelled_at is not null as "cancelled!"
from sweeps where id = $1 and removed_at is null
for update
