-- Which of these layers are in the store. They stay there for a day from now: until then a sweep is to name them.
update layers set stored_at = now() where sha256 = any($1) returning sha256
