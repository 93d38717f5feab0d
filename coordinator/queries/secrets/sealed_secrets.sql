select name, owners, key_id, nonce, sealed from secrets order by name
