update secrets set key_id = $2, nonce = $3, sealed = $4 where name = $1
