-- Until the end of the transaction nobody cancels the sweep or tries its jobs again, so what has ended stays so.
select name from sweeps where id = $1 and cancelled_at is null and removed_at is null for no key update
