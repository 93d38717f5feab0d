-- How late a schedule's time may be made up.
alter table schedules add column catch_up_seconds integer not null default 2678400 check (catch_up_seconds between 60 and 2678400);
