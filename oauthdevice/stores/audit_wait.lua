-- Let an audit row wait, and count those that do.
--
-- KEYS[1] hash of the rows that wait. ARGV[1] id of the row, ARGV[2] row (JSON text).
-- Returns how many wait now. Run twice, it does the same again; a row that was moved in between waits again, and whoever
-- moves it finds that it is there.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HLEN', KEYS[1])
