-- The first coordinator of a new queue says where its results are.
insert into queue_store (store_id, location) values ($1, $2) on conflict (one) do nothing
