-- Keeps so many of the latest changes of an alias.
delete from image_alias_changes
where alias = $1 and number <= (select max(number) from image_alias_changes where alias = $1) - $2::integer
