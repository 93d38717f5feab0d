-- From now on the queue's results are in this store, whatever was known before. $3 is the store's generation.
update queue_store
set store_id = $1, location = $2, generation = greatest(generation, $3), confirmed = $3
