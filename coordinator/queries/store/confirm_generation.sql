update queue_store set confirmed = greatest(confirmed, $2) where store_id = $1
