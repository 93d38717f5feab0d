-- Which of these files of the store belong to no image.
select w.path as "path!" from unnest($1::text[]) as w (path)
where not exists (select from layers where stored_as = w.path)
    and not exists (select from image_archives where rest = w.path)
    and not exists (select from images where w.path = 'images/' || substr(id, 8) || '.tar')
