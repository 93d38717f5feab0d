-- The numbers of the jobs that have succeeded and reported metric $2, best first; the number decides between equals.
select j.number from jobs j
where j.sweep_id = $1 and j.state = 'succeeded' and j.metrics ? $2
order by
    case when $3 then (j.metrics ->> $2)::float8 else -((j.metrics ->> $2)::float8) end,
    j.number
limit $4
