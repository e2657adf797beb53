-- Cache an answer of the database, unless it may be older than a revocation.
--
-- KEYS[1] entry. ARGV[1] entry, ARGV[2] its lifetime, ARGV[3] when the entry was found missing,
-- ARGV[4] how old that may be (all milliseconds). A revocation leaves a mark that lives longer than
-- ARGV[4]: an answer read before it finds the mark, or is too old.
-- Returns 1, or 0 and writes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - ARGV[3] > tonumber(ARGV[4]) then
  return 0
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
