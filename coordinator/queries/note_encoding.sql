-- How an attempt's outputs are stored.
update attempts set encoding = $2
where id = $1 and state in ('leased', 'preparing', 'running', 'publishing')
