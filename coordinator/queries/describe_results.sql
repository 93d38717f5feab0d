-- Results of an image that were written before it was known what is in it are written once more. Older ones were made
-- before anybody looked, and stay as they are.
update results r set written = false
from attempts a
where r.attempt_id = a.id and a.image_id = $1 and r.written and r.published_at > now() - interval '1 day'
