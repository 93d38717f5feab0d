-- Events behind a place, in their order, as far as all of them are known.
select xact::text::bigint as "xact!", id as "id!", at, kind, sweep_id, body::text as "body!"
from events
where (xact, id) > ($1::bigint::text::xid8, $2) and xact < pg_snapshot_xmin(pg_current_snapshot())
order by xact, id
limit $3
