-- Results of an image that were written before it was known what is in it are written once more, those that are being
-- written now too. Older ones were made before anybody looked, and stay as they are; what has expired is not brought back.
update results r set written = false, revision = r.revision + 1
from attempts a, sweeps s
where r.attempt_id = a.id and s.id = r.sweep_id and a.image_id = $1
    and r.published_at > now() - interval '1 day' and s.expired_at is null
