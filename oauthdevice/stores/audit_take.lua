-- Forget the audit rows that were moved, and look at those that wait.
--
-- KEYS[1] hash of the rows that wait, KEYS[2] id of the row that was left last.
-- ARGV[1] about how many rows to look at, ARGV[2] 1 to look only where another row was left than ARGV[3], the id that
-- is known (empty: none). ARGV[4] and so on: ids of the rows that were moved.
-- Returns the id of the row that was left last (empty where none was lately), 1 where more rows wait than were looked
-- at, else 0, and the rows: id, row (JSON text), id and so on. Run twice, it returns the same or more.
if ARGV[4] then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
end
local left = redis.call('GET', KEYS[2]) or ''
if ARGV[2] == '1' and left == ARGV[3] then
  return {left, 0, {}}
end
local cursor, rows = '0', {}
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[1])
  cursor, rows = page[1], page[2]
until #rows > 0 or cursor == '0'
return {left, cursor == '0' and 0 or 1, rows}
