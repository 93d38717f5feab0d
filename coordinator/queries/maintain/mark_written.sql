-- Documents that were made from outdated contents are written again. Parameters that only the matrix had are kept for
-- those who read with SQL.
update results r
set
    written = r.revision = e.revision,
    parameters = coalesce(e.parameters::jsonb, r.parameters),
    parameters_as_written = coalesce(e.parameters::json, r.parameters_as_written)
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as e (sweep_id, job, revision, parameters)
where r.sweep_id = e.sweep_id and r.job = e.job
