select exists (select from image_descriptions where image_id = $1) as "known!"
