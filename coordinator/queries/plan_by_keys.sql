-- Every statement of the queue names rows by keys that an index leads to. Tables grow by a million rows in less time than
-- Postgres takes to look at them again: a plan that reads one of them whole, because it was small a minute ago, must not be
-- made.
select set_config(name, 'off', false) from unnest(array['enable_seqscan', 'enable_bitmapscan', 'jit']) as name
