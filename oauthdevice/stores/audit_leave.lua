-- Tell whoever moves audit rows that one was left to it.
--
-- KEYS[1] id of the row that was left last. ARGV[1] id of the row, ARGV[2] how long that is known (seconds).
-- Returns OK. Does the same again if it is run twice.
return redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
