-- Local directories that were laid over a sweep's image: its manifest's `dev_mount`. What each holds is in the store as a
-- layer, by its SHA-256, which stays for as long as a sweep names it.
alter table sweeps add column dev_mounts jsonb;
create index sweeps_with_dev_mounts on sweeps (id) where dev_mounts is not null;
