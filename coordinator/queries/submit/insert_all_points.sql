-- Jobs $2 up to but not including $3 of a sweep that takes its matrix as it is: Postgres makes the rows by itself.
insert into jobs (sweep_id, number)
select $1, number from generate_series($2::int, $3::int - 1) as number
