select queue_id, store_id, location, generation, confirmed from queue_store
