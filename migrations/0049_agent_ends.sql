-- When agents end that were started for some time, with what they then have to let jobs finish; and how long jobs may take, so that
-- none is given to an agent that will not be there for long enough. Sweeps of before are given to any.
alter table agents add column ends_at timestamptz;
alter table sweeps add column timeout_millis bigint check (timeout_millis > 0);
