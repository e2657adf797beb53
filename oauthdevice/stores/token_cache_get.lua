-- What is cached of a token, or when it was found missing.
--
-- KEYS[1] entry; no ARGV[1] nor any other. Returns {entry, nil} or {nil, now in milliseconds}. Writes nothing.
local entry = redis.call('GET', KEYS[1])
if entry then
  return {entry, false}
end
local time = redis.call('TIME')
return {false, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))}
