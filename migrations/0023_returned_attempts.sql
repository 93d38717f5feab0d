-- An attempt that its agent never got, or handed back of its own will.
alter type attempt_state add value 'returned';
