delete from secrets where name = $1
