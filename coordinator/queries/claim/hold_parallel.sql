-- Nobody else starts jobs of this sweep until the end of the transaction.
select max_parallel from sweeps where id = $1 for no key update
