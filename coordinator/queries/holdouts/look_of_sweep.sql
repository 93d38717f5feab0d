-- The look that a sweep has spent.
select l.number, h.looks
from looks l
join holdouts h on h.family = l.family
where l.sweep_id = $1
