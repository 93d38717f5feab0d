insert into results (sweep_id, job, attempt_id)
select * from unnest($1::uuid[], $2::int[], $3::uuid[])
