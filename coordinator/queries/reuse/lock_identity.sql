-- Two sweeps of one recipe and one image look for each other's jobs one after the other, so that the second sees what the
-- first has settled.
select pg_advisory_xact_lock($1)
