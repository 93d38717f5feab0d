delete from image_aliases where name = $1
