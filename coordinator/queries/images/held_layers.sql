-- Which of these layers are in the store.
select l.sha256 from layers l
join unnest($1::bytea[], $2::bigint[]) as w (sha256, size) on w.sha256 = l.sha256 and w.size = l.size
