-- One container runs several points of a sweep: how many at most, which attempts share one, and which version of the
-- protocol an agent speaks, since not all know how to.
alter table sweeps
    add column batch int check (batch between 1 and 10000);
alter table attempts
    add column batch uuid;
alter table agents
    add column protocol int not null default 1;
