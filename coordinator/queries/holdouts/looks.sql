-- The looks of a family, in their order, also of sweeps that were removed.
select l.number, l.sweep_id, s.name, l.owner, l.why, l.spent_at, s.removed_at is not null as "removed!"
from looks l
join sweeps s on s.id = l.sweep_id
where l.family = $1
order by l.number
