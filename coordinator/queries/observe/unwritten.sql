-- Published results whose result.json is not written yet, so many at most.
select count(*) as "unwritten!" from (select from results where not written limit $1) r
