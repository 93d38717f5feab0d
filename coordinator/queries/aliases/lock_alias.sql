-- One change of an alias at a time: whoever holds this sees all earlier ones.
select name from image_aliases where name = $1 for update
