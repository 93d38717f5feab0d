-- Until the end of the transaction no job of the sweep starts, is cancelled or is tried again.
select id from sweeps
where id = $1 and reuse = 'pending' and cancelled_at is null
    and known_image(image, image_pin) = $2
for update
