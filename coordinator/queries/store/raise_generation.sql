update queue_store set generation = generation + 1, location = $2 where store_id = $1 returning generation
