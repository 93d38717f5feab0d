-- Bringing the schema up to date may take long, and waits for another coordinator that is at it. One that is frozen
-- meanwhile loses its session, and its lock with it.
select pg_catalog.set_config(known.name, wanted.value, false)
from (values
    ('statement_timeout', '0'),
    ('lock_timeout', '60000'),
    ('idle_session_timeout', '60000'),
    ('idle_in_transaction_session_timeout', '60000')
) as wanted (name, value)
join pg_catalog.pg_settings known on known.name = wanted.name
