-- What attempts said that have been silent for so long and are not live any more.
with gone as (
    delete from progress p
    where p.at < now() - $1::interval
        and not exists (
            select from attempts a
            where a.id = p.attempt_id and coalesce(a.state in ('leased', 'preparing', 'running', 'publishing'), false)
        )
    returning p.attempt_id
)
delete from progress_points d using gone g where d.attempt_id = g.attempt_id
