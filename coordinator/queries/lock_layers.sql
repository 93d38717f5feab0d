-- Holds these layers, so that they are not given up until an image names them.
select sha256 from layers where sha256 = any($1) for key share
