select rest, parts from image_archives where id = $1
