-- One writer at a time, so that the numbers have no gaps and each hash is over the one before it.
select pg_advisory_xact_lock(7203385142096)
