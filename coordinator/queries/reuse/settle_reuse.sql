update sweeps set reuse = 'settled', reuse_note = '', reuse_differing = $2, reuse_volumes = $3 where id = $1
