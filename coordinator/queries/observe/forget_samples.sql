-- Forgets how the fleet stood a day ago, and sweeps some minutes ago.
with fleet as (
    delete from fleet_samples where at < now() - interval '24 hours'
)
delete from sweep_samples where at < now() - interval '10 minutes'
