-- An agent that was asked has resolved the image of a sweep; what is written is what it runs.
update sweeps s
set image_pin = coalesce(s.image_pin, $4)
from agents g
where s.id = $1 and s.reuse is not null and g.id = $2 and g.session = $3
returning s.image_pin as "image_pin!"
