-- Held until the end of the transaction: no result of it is taken over meanwhile, and no job of it is tried again.
select ended_at is not null as "ended!" from sweeps where id = $1 and removed_at is null for update
