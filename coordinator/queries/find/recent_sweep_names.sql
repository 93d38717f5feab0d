-- Names of the latest sweeps: one of them may have been meant.
select distinct name from (
    select name from sweeps where removed_at is null order by created_at desc limit $1
) s
