update sweeps set reuse = 'settled', reuse_note = '', reuse_differing = $2 where id = $1
