insert into audit (number, at, who, role, from_address, what, target, before, after, outcome, hash)
select * from unnest(
    $1::bigint[], $2::timestamptz[], $3::text[], $4::token_role[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bytea[]
)
