-- Sweeps whose jobs may be identical to the sweep's, oldest first. Jobs of a cancelled or paused one do not start, and
-- who waited for one that needs other agents might wait for ever.
select s.id, s.cancelled_at is null and s.paused_at is null as "goes_on!", s.labels = p.labels as "same_agents!"
from sweeps p
join sweeps s on s.recipe = p.recipe
where p.id = $1 and s.id <> p.id and s.reuse is distinct from 'pending' and s.expired_at is null
    and known_image(s.image, s.image_pin) = known_image(p.image, p.image_pin)
order by s.created_at, s.id
