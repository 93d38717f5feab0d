select description from image_descriptions where image_id = $1
