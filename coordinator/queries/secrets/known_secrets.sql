-- Of these names: whether sweeps of this owner may name the secret, if there is one here, and whether an agent holds one.
select
    w.name as "name!",
    (select x.owners && array[$2, '*'] from secrets x where x.name = w.name) as may,
    exists (select from agents g where w.name = any(g.secrets)) as "is_held!"
from unnest($1::text[]) w (name)
