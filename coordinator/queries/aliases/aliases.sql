-- What each alias stands for, or one of them ($1).
select distinct on (c.alias)
    c.alias, c.number, c.kind as "kind: Pg<ChangeKind>", c.image, c.pin, c.promotion, c.gate_sweep, c.gate_name, c.changed_by, c.created_at
from image_alias_changes c
where $1::text is null or c.alias = $1
order by c.alias, c.number desc
