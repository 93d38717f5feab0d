-- Names of the agents that were heard last: one of them may have been meant.
select distinct name from (select name from agents order by last_seen_at desc limit $1) g
