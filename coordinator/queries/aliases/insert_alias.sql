-- Makes an alias, unless there are so many ($2).
insert into image_aliases (name)
select $1 where (select count(*) from image_aliases) < $2
on conflict (name) do nothing
