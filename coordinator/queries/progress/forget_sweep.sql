-- What the attempts of a sweep said.
with gone as (
    delete from progress p
    using attempts a
    where a.sweep_id = $1 and p.attempt_id = a.id
    returning p.attempt_id
)
delete from progress_points d using gone g where d.attempt_id = g.attempt_id
