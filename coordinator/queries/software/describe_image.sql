-- Says what is in an image, unless somebody has said it before.
insert into image_descriptions (image_id, description) values ($1, $2)
on conflict (image_id) do nothing
returning image_id
