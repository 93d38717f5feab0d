-- Gives up layers that no image has: those of a list, or all that have been there for that long. An upload that needs one
-- locks it.
delete from layers where sha256 in (
    select sha256 from layers l
    where not exists (select from image_layers i where i.sha256 = l.sha256)
        and (sha256 = any($1) or stored_at < now() - $2::interval)
    for update skip locked
)
returning stored_as
