-- A page of attempts that are not published, after attempt ($2, $3), the latest of a job first: of jobs without a result,
-- or, where a number is given, those that bear it.
select a.job, a.number, a.state as "state: Pg<AttemptState>", a.encoding as "encoding: Pg<Encoding>"
from attempts a
left join lateral (
    select job, attempt_id from results where sweep_id = a.sweep_id and job = a.job offset 0
) r on true
where a.sweep_id = $1
    and (a.job > $2 or (a.job = $2 and a.number < $3))
    and ($4::int is null or a.job = $4)
    and case $5::int when 0 then r.job is null else a.number = $5 and r.attempt_id is distinct from a.id end
order by a.job, a.number desc
limit $6
