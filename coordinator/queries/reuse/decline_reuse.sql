update sweeps set reuse = 'declined', reuse_note = $2 where id = $1 and reuse = 'pending'
