-- The alias is locked.
insert into image_alias_changes (alias, number, kind, image, pin, promotion, gate_sweep, gate_name, changed_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
returning created_at
