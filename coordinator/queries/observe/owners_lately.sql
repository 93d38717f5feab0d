-- What each owner had running lately, on average, as containers; what was so $1 seconds ago counts half as much.
select owner, containers * power(0.5, greatest(extract(epoch from now() - noted_at), 0) / $1::float8) as "containers!"
from owner_shares
