-- Replace the record if it is still the one that was read, and let the audit rows of that wait; keep its lifetime.
--
-- KEYS[1] record, KEYS[2] sealed answer; both carry the same hash tag. KEYS[3] hash of the audit rows that wait, if
-- any are to wait here.
-- ARGV[1] record that was read, ARGV[2] record to store (JSON texts), ARGV[3] new spacing between
-- polls (milliseconds, or empty to keep it), ARGV[4] sealed answer (or empty for none),
-- ARGV[5] lifetime of the sealed answer (milliseconds), ARGV[6] channel that is told of it (or empty for none),
-- ARGV[7] what it is told. It is told after all is written, and where a user of Redis may not publish there, nobody
-- is: that undoes nothing. ARGV[8] name of this swap, like no other. ARGV[9], ARGV[10] and so on: id of an audit row,
-- audit row (JSON text).
-- Returns 1, or 0 and writes nothing where the record is another or gone. Run twice, as where its answer was lost and
-- it was sent again, it says 1 both times.
if redis.call('HGET', KEYS[1], 'record') ~= ARGV[1] then
  return redis.call('HGET', KEYS[1], 'swap') == ARGV[8] and 1 or 0
end
redis.call('HSET', KEYS[1], 'record', ARGV[2], 'swap', ARGV[8])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'spacing', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], unpack(ARGV, 9))
end
if ARGV[6] ~= '' then
  redis.pcall('PUBLISH', ARGV[6], ARGV[7])
end
return 1
