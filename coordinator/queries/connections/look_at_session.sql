-- Whether this session answers, is set up, and may write.
select
    pg_catalog.current_setting('btctl.session', true) is not distinct from 'set up' as "is_set_up!",
    pg_catalog.current_setting('transaction_read_only')::bool as "read_only!",
    pg_catalog.pg_is_in_recovery() as "standby!"
