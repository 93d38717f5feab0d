-- What a sweep that waits for others can take is looked for when these have ended: they may make its data.
-- Sweeps that wait until it is known whose results they can take, oldest first; what their images are, where that is
-- known.
select s.id, s.name, s.image, s.recipe as "recipe!", known_image(s.image, s.image_pin) as known_image,
    extract(epoch from now() - s.created_at)::float8 as "age!", s.volumes
from sweeps s
where s.reuse = 'pending' and s.recipe is not null and s.cancelled_at is null and s.ended_at is null
    and (s.after = '{}' or s.after_passed_at is not null)
order by s.created_at, s.id
limit $1
