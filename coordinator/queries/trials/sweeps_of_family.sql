-- Sweep $3 and all sweeps of family $1, also removed ones: what was tried stays tried. The oldest first. Sweeps that an
-- earlier release queued have an empty family, and no relatives.
select id, name, owner, jobs, created_at, removed_at is not null as "removed!",
    coalesce(image_pin, image) as "image!", cut_before::text as cut_before,
    (select number from looks l where l.sweep_id = sweeps.id) as look
from sweeps
where id = $3 or $1 <> '' and family = $1
order by created_at, id
limit $2
