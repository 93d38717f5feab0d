delete from image_archives where id = any($1) returning rest
