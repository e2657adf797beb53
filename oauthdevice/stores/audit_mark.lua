-- Tell whoever moves audit rows that some were left to it.
--
-- KEYS[1] mark. ARGV[1] how long it is kept (seconds).
-- Returns the mark, which is another each time. Run twice, it tells it twice.
local mark = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[1])
return mark
