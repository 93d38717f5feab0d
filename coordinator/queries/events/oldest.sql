select xact::text::bigint as "xact!", id as "id!" from events order by xact, id limit 1
