-- Of sweeps that nobody has begun, those of the same recipe and the same name for the image run what that name was found
-- to stand for, as if this agent had been the first to start a job of theirs. Else none of them would be known to be
-- the same. The agents that they ask for must be the same too: an image may be one agent's own.
with alike as (
    select s.id, p.image_pin
    from sweeps p
    join sweeps s on s.recipe = p.recipe and s.image = p.image and s.labels = p.labels
    where p.id = $1 and p.image_pin is not null and s.image_pin is null and s.ended_at is null
        and s.manifest ->> 'pull' is not distinct from p.manifest ->> 'pull'
    order by s.id
    for no key update of s
)
update sweeps s set image_pin = a.image_pin from alike a where s.id = a.id and s.image_pin is null
