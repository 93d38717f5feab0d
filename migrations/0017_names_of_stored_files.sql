-- Nothing in the store is written over: a file whose name is taken by other content gets another one.
alter table result_files
    add column stored_as text check (stored_as <> '');
