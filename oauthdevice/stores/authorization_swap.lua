-- Replace the record if it is still the one that was read; keep its lifetime.
--
-- KEYS[1] record, KEYS[2] sealed answer; both carry the same hash tag.
-- ARGV[1] record that was read, ARGV[2] record to store (JSON texts), ARGV[3] new spacing between
-- polls (milliseconds, or empty to keep it), ARGV[4] sealed answer (or empty for none),
-- ARGV[5] lifetime of the sealed answer (milliseconds), ARGV[6] channel that is told of it (or empty for none),
-- ARGV[7] what it is told. It is told after all is written, and where a user of Redis may not publish there, nobody
-- is: that undoes nothing.
-- Returns 1, or 0 and writes nothing where the record is another or gone.
if redis.call('HGET', KEYS[1], 'record') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'record', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'spacing', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
end
if ARGV[6] ~= '' then
  redis.pcall('PUBLISH', ARGV[6], ARGV[7])
end
return 1
