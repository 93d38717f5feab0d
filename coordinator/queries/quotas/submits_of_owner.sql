-- How many sweeps of the owner were submitted within a minute, and how many seconds it is until fewer than $2 were.
select
    (select count(*) from sweeps where owner = $1 and created_at > now() - interval '1 minute') as "submits!",
    (
        select ceil(extract(epoch from created_at + interval '1 minute' - now()))::bigint
        from sweeps where owner = $1 and created_at > now() - interval '1 minute'
        order by created_at desc offset greatest($2::bigint - 1, 0) limit 1
    ) as wait
