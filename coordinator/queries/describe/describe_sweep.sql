-- Adds tags ($2) to a sweep, takes others ($3) away, and replaces its note unless $4 is null.
update sweeps
set tags = array(
        select distinct tag from unnest(tags || $2::text[]) as t (tag) where tag <> all($3::text[]) order by tag
    ),
    note = coalesce($4, note)
where id = $1 and removed_at is null
returning tags, note
