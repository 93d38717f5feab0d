select distinct sha256 from image_layers where id = any($1)
