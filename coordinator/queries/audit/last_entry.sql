-- The end of the chain, and the time of what is added to it.
select l.number as "number?", l.hash as "hash?", clock_timestamp() as "now!"
from (select 1) one left join lateral (select number, hash from audit order by number desc limit 1) l on true
