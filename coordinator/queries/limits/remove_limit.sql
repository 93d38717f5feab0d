delete from limits where name = $1
