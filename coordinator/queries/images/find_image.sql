-- By id, or the newest of a name; a name without a tag means the tag latest.
select id, name, size, pushed_by, pushed_at from images
where id = $1 or name = $1 or name = $1 || ':latest'
order by pushed_at desc
limit 1
