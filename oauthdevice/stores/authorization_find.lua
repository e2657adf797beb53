-- The record behind a user_code.
--
-- KEYS[1] index. ARGV[1] what the name of a record of this shard begins with (same hash tag),
-- ARGV[2] added to the clock (milliseconds, 0 outside tests).
-- Returns {record, issued_at, now, digest} (times in milliseconds), or nil. Writes nothing.
local digest = redis.call('GET', KEYS[1])
if not digest then
  return nil
end
local found = redis.call('HMGET', ARGV[1] .. digest, 'record', 'issued_at')
if not found[1] then
  return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
return {found[1], found[2], string.format('%.0f', now), digest}
