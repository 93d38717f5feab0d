-- How an attempt's outputs are stored, so that they can be read before they are a result, or though they never will be.

alter table attempts add column encoding encoding not null default 'none';
