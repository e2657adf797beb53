-- Store a record and the index that finds it by user_code, and let the audit row of both wait: all or nothing.
--
-- KEYS[1] record, KEYS[2] index; both carry the same hash tag. KEYS[3] hash of the audit rows that wait, if the row
-- is to wait here.
-- ARGV[1] record (JSON text), ARGV[2] spacing between polls (milliseconds),
-- ARGV[3] lifetime of both keys (milliseconds), ARGV[4] added to the clock (milliseconds, 0 outside tests),
-- ARGV[5] digest that names the record, ARGV[6] who may poll it,
-- ARGV[7] id of the audit row, ARGV[8] audit row (JSON text), both with KEYS[3] alone.
-- Returns nil and writes nothing where the index is taken by another record, else how many audit rows wait in KEYS[3]
-- now, or 0. It may run twice, as where its answer was lost and it was sent again.
if not redis.call('SET', KEYS[2], ARGV[5], 'NX', 'PX', ARGV[3]) and redis.call('GET', KEYS[2]) ~= ARGV[5] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'issued_at', now, 'spacing', ARGV[2], 'next_poll', 0, 'client', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if not KEYS[3] then
  return 0
end
redis.call('HSET', KEYS[3], ARGV[7], ARGV[8])
return redis.call('HLEN', KEYS[3])
