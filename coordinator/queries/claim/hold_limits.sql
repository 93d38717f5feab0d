-- Nobody else starts jobs that count against these limits until the end of the transaction; a limit that nobody has
-- set is not there.
select name, capacity from limits where name = any($1) order by name for update
