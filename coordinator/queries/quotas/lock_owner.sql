-- Nobody else does this ($1) for the owner until the end of the transaction.
select pg_advisory_xact_lock($1, hashtext($2)) is not null as "locked"
