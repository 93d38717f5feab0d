-- The aliases that stand for one of these pins now.
select c.alias from image_alias_changes c
where c.pin = any($1::text[])
    and c.number = (select max(number) from image_alias_changes where alias = c.alias)
order by c.alias
