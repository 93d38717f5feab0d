-- Gives up layers that no image has, and that no sweep with results and no schedule names as a dev mount: those of a list, or
-- all that have been there for that long. An upload that needs one locks it.
delete from layers where sha256 in (
    select sha256 from layers l
    where not exists (select from image_layers i where i.sha256 = l.sha256)
        and not exists (
            select from sweeps s
            where s.dev_mounts is not null and s.expired_at is null
                and s.dev_mounts @> jsonb_build_array(jsonb_build_object('sha256', encode(l.sha256, 'hex')))
        )
        and not exists (select from schedules d where strpos(d.manifest, encode(l.sha256, 'hex')) > 0)
        and (sha256 = any($1) or stored_at < now() - $2::interval)
    for update skip locked
)
returning stored_as
