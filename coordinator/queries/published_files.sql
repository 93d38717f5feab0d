-- Where published files stand: in the place of the attempt that made them, which may be another job's.
select w.number as "number!", a.sweep_id, a.job, a.number as attempt, s.name, s.jobs,
    f.encoding as "encoding: Pg<Encoding>", f.stored_as, f.path, coalesce(f.stored_size, f.size) as "size!"
from unnest($2::int[], $3::text[]) with ordinality w (job, path, number)
join result_files f on f.sweep_id = $1 and f.job = w.job and f.path = w.path
join results r on r.sweep_id = f.sweep_id and r.job = f.job
join attempts a on a.id = r.attempt_id
join sweeps s on s.id = a.sweep_id
order by w.number
