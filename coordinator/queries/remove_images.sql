delete from images where id = $1 or name = $1 returning id
