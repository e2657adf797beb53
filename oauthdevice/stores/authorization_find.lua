-- A record as it is, and the time.
--
-- KEYS[1] record. ARGV[1] added to the clock (milliseconds, 0 outside tests).
-- Returns {record, issued_at, now} (times in milliseconds), or nil. Writes nothing.
local found = redis.call('HMGET', KEYS[1], 'record', 'issued_at')
if not found[1] then
  return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
return {found[1], found[2], string.format('%.0f', now)}
