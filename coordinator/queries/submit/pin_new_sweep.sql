-- A sweep whose image is known is pinned before any agent hears of it.
update sweeps set image_pin = $2 where id = $1 and image_pin is null
