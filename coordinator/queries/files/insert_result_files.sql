insert into result_files (sweep_id, job, path, size, sha256, encoding, stored_size, stored_as)
select *
from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::bytea[], $6::encoding[], $7::bigint[],
    $8::text[])
