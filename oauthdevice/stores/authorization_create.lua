-- Store a record and the index that finds it by user_code: both or neither.
--
-- KEYS[1] record, KEYS[2] index; both carry the same hash tag.
-- ARGV[1] record (JSON text), ARGV[2] spacing between polls (milliseconds),
-- ARGV[3] lifetime of both keys (milliseconds), ARGV[4] added to the clock (milliseconds, 0 outside tests),
-- ARGV[5] digest that names the record, ARGV[6] who may poll it.
-- Returns 1, or 0 and writes nothing where the index is taken.
if not redis.call('SET', KEYS[2], ARGV[5], 'NX', 'PX', ARGV[3]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'issued_at', now, 'spacing', ARGV[2], 'next_poll', 0, 'client', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
