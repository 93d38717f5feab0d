-- Has Postgres end a statement whose caller has closed the connection. Not every platform can.
select pg_catalog.set_config(name, '1000', false) from pg_catalog.pg_settings
where name = 'client_connection_check_interval' and setting <> '1000'
