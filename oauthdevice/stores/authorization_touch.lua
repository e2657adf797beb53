-- Stamp a poll and answer the record as it was, in one round trip.
-- A poll that comes before the spacing is over, or from somebody who may not poll, moves nothing.
--
-- KEYS[1] record. ARGV[1] who polls, ARGV[2] added to the clock (milliseconds, 0 outside tests),
-- ARGV[3] the same without their key, for a record that is bound to none.
-- Returns {record, issued_at, now, on_time} (times in milliseconds, on_time 1 or 0), or nil and
-- writes nothing where there is no record.
local found = redis.call('HMGET', KEYS[1], 'record', 'issued_at', 'spacing', 'next_poll', 'client')
if not found[1] then
  return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local on_time = 0
if now >= tonumber(found[4]) then
  on_time = 1
  if found[5] == ARGV[1] or found[5] == ARGV[3] then
    redis.call('HSET', KEYS[1], 'next_poll', now + found[3])
  end
end
return {found[1], found[2], string.format('%.0f', now), on_time}
