-- Parameters keep their spelling for those who read with SQL: jsonb writes 1e5 as 100000 and drops the sign of -0.
alter table results
    add column parameters_as_written json;

-- A row for each parameter of each job whose parameters are known here.
create or replace view reports.parameters as
select j.sweep_id, s.name as sweep, j.number as job, p.key as parameter, p.value
from jobs j
join sweeps s on s.id = j.sweep_id
left join results r on r.sweep_id = j.sweep_id and r.job = j.number
cross join lateral json_each_text(coalesce(j.parameters, r.parameters_as_written, r.parameters::json)) p;
