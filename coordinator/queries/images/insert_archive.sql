-- Says how an image's archive is put together, unless that is known.
with archive as (
    insert into image_archives (id, rest, parts) values ($1, $2, $3)
    on conflict (id) do nothing
    returning id
), added as (
    insert into image_layers (id, sha256)
    select archive.id, w.sha256 from archive, unnest($4::bytea[]) as w (sha256)
)
select id from archive
