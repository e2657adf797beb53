-- Mark a network with the time.
--
-- KEYS[1] mark. ARGV[1] its lifetime, ARGV[2] added to the clock (both milliseconds, the latter 0 outside tests).
-- Returns the time of the mark (milliseconds). A later mark replaces an earlier one.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2])
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
return now
