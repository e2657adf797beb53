-- Forget the audit rows that were moved, and look at those that wait.
--
-- KEYS[1] hash of the rows that wait, KEYS[2] mark.
-- ARGV[1] about how many rows to look at, ARGV[2] 1 to look anew only where the mark is not ARGV[3] (empty: none),
-- ARGV[4] where to look on while it is (0: there is no more). ARGV[5] and so on: ids of the rows that were moved.
-- Returns the mark, where to look on, and the rows: id, row (JSON text), id and so on. Run twice, it forgets the same
-- rows, and looks again.
for first = 5, #ARGV, 1000 do
  redis.call('HDEL', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
local mark, cursor = redis.call('GET', KEYS[2]) or '', '0'
if ARGV[2] == '1' and mark == ARGV[3] then
  if ARGV[4] == '0' then
    return {mark, '0', {}}
  end
  cursor = ARGV[4]
end
local rows
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[1])
  cursor, rows = page[1], page[2]
until #rows > 0 or cursor == '0'
return {mark, cursor, rows}
