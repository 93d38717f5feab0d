-- Sweeps that may end jobs of a lower priority for room, and when one did so last; and which sweep an attempt was ended for.
alter table sweeps add column preempt boolean not null default false;
alter table sweeps add column preempted_at timestamptz;
alter table attempts add column preempted_by uuid;
