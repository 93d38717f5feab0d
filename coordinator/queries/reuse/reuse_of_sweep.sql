select s.reuse as "reuse: Pg<ReuseState>", s.reuse_note, s.reuse_differing,
    (select coalesce(sum(r.jobs), 0) from reused_from r where r.sweep_id = s.id) as "taken!",
    (select coalesce(sum(attached), 0) from sweep_counts c where c.sweep_id = s.id) as "attached!"
from sweeps s
where s.id = $1
