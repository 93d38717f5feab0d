-- Holds these layers, so that they are not given up until an image names them.
select l.sha256 from layers l
join unnest($1::bytea[], $2::bigint[]) as w (sha256, size) on w.sha256 = l.sha256 and w.size = l.size
for key share of l
