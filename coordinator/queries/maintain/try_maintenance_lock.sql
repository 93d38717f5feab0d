select pg_try_advisory_xact_lock(7233189) as "locked!"
