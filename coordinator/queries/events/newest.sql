-- The place of the latest event that can be read.
select xact::text::bigint as "xact!", id as "id!"
from events
where xact < pg_snapshot_xmin(pg_current_snapshot())
order by xact desc, id desc
limit 1
