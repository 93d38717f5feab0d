-- Spends a look, if one is left. The family's holdout is held.
insert into looks (family, number, sweep_id, owner, why)
select h.family, spent.looks + 1, $2, $3, $4
from holdouts h
cross join lateral (select count(*)::int as looks from looks where family = h.family) spent
where h.family = $1 and spent.looks < h.looks
returning number
