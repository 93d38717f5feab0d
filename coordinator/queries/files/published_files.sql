-- Where published files stand: in the place of the attempt that made them, which may be another job's. Rows with a key of
-- several columns are looked for with all of them (`offset 0`).
select w.number as "number!", a.sweep_id, a.job, a.number as attempt, s.name, s.jobs,
    f.encoding as "encoding: Pg<Encoding>", f.stored_as, f.path, coalesce(f.stored_size, f.size) as "size!",
    f.size as plain_size, f.sha256
from unnest($2::int[], $3::text[]) with ordinality w (job, path, number)
cross join lateral (
    select path, size, sha256, encoding, stored_size, stored_as from result_files
    where sweep_id = $1 and job = w.job and path = w.path offset 0
) f
cross join lateral (
    select attempt_id from results where sweep_id = $1 and job = w.job offset 0
) r
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = a.sweep_id
order by w.number
