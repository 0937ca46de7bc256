--!use names done_marker
-- ARGV: prefix, the database's new epoch, the last settled event that was checked ('' for none),
-- then the newest of those that the database has.
-- Done markers of another epoch are void from now on. What was checked is not asked for again.
local SETTLED = named('settled')

write_even_when_full()
call('SET', DATABASE_EPOCH, ARGV[2])
local checked = ARGV[3] ~= '' and call('LPOS', SETTLED, ARGV[3], 'RANK', -1)
if not checked then
  return 0
end
call('LTRIM', SETTLED, checked + 1, -1)
for i = #ARGV, 4, -1 do
  call('LPUSH', SETTLED, ARGV[i])
end
return checked + 1
