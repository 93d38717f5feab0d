insert into returns (attempt_id, sweep_id, calendar, returns)
select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[])
