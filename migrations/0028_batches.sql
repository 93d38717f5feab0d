-- One container runs several points of a sweep: how many at most, and which attempts share one.
alter table sweeps
    add column batch int check (batch between 1 and 10000);
alter table attempts
    add column batch uuid;
