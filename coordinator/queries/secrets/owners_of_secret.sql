select owners from secrets where name = $1
