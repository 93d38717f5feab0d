-- Tables in the schema of the queue's that this role may not change, or whose rows it may not.
select
    count(*) filter (where not pg_catalog.pg_has_role(c.relowner, 'usage')) as "not_owned!",
    count(*) filter (
        where not (
            pg_catalog.has_table_privilege(c.oid, 'select') and pg_catalog.has_table_privilege(c.oid, 'insert')
            and pg_catalog.has_table_privilege(c.oid, 'update') and pg_catalog.has_table_privilege(c.oid, 'delete')
        )
    ) as "not_writable!"
from pg_catalog.pg_class c
where c.relkind = 'r' and c.relnamespace = pg_catalog.current_schema()::pg_catalog.regnamespace
