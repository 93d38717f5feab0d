-- Until the end of the transaction nobody cancels or retries these attempts' sweeps.
select id from sweeps
where id in (select sweep_id from attempts where id = any($1))
order by id
for share
