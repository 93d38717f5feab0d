select l.sha256, l.stored_as from image_layers i join layers l on l.sha256 = i.sha256 where i.id = $1
