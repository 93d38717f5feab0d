-- Entries behind a number, in their order.
select number, at, who, role as "role: Pg<Role>", from_address, what, target, before, after, outcome, hash
from audit
where number > $1 and coalesce(at >= $2, true) and coalesce(who = $3, true)
order by number
limit $4
