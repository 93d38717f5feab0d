update sweeps set reuse_note = $2 where id = $1 and reuse = 'pending' and reuse_note <> $2
