-- What jobs of a family see no data of, and how many looks are spent.
select h.from_date::text as "from_date!", h.looks, h.date_column, h.volumes, h.sweep_id, h.owner, h.set_at,
    (select count(*) from looks l where l.family = h.family) as "spent!"
from holdouts h
where h.family = $1
