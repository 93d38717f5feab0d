update results r set written = true
from unnest($1::uuid[], $2::int[]) as w (sweep_id, job)
where r.sweep_id = w.sweep_id and r.job = w.job
