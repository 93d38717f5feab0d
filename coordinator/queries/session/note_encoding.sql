-- How an attempt's outputs are stored.
-- The state is written so that the indexes of live attempts seem to be of no help: each of these is found by its id.
update attempts set encoding = $2
where id = $1 and coalesce(state in ('leased', 'preparing', 'running', 'publishing'), false)
