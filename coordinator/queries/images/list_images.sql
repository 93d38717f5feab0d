select id, name, size, pushed_by, pushed_at from images order by name, pushed_at desc
