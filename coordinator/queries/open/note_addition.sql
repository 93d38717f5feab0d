-- What was added under which key; and those who watch hear of the jobs.
with added as (
    insert into additions (sweep_id, key, fingerprint, first_job, jobs) values ($1, $2, $3, $4, $5)
)
insert into events (kind, sweep_id, body)
select 'jobs', $1, json_build_object(
    'state', 'queued',
    'count', $5::int,
    'jobs', case when $5 <= 10000 then (select json_agg(number) from generate_series($4::int, $4 + $5 - 1) as number) end
)
