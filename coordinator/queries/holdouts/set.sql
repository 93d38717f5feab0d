-- The first sweep of a family that names a holdout sets it. One that was set is never changed.
insert into holdouts (family, from_date, looks, date_column, volumes, sweep_id, owner)
values ($1, $2::text::date, $3, $4, $5, $6, $7)
on conflict (family) do nothing
