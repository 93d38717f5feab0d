-- What the attempts of a sweep returned goes with its results, unless another sweep still has these.
delete from returns x
where x.sweep_id = $1
    and not exists (
        select from results p
        join sweeps s on s.id = p.sweep_id
        where p.attempt_id = x.attempt_id and s.expired_at is null
    )
