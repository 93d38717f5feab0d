-- All changes of an alias, the first one first.
select
    alias, number, kind as "kind: Pg<ChangeKind>", image, pin, promotion, gate_sweep, gate_name, changed_by, created_at
from image_alias_changes
where alias = $1
order by number
