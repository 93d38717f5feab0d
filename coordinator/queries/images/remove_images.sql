-- Takes names away; says of each image whether that was its last one.
with gone as (
    delete from images where id = $1 or name = $1 returning id, name
)
select distinct
    g.id as "id!",
    not exists (
        select from images i where i.id = g.id and (i.id, i.name) not in (select id, name from gone)
    ) as "is_last!"
from gone g
