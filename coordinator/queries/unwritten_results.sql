select sweep_id, job from results where not written order by published_at limit $1
