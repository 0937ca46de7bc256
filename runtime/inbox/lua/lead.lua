--!use names
-- ARGV: prefix, who asks, ms the lead lasts unless it is asked for again (0: let go).
-- Returns 1 while it is the asker's.
write_even_when_full()
local holder = call('GET', LEADER)
if holder and holder ~= ARGV[2] then
  return 0
end
if ARGV[3] == '0' then
  call('DEL', LEADER)
  return 0
end
call('SET', LEADER, ARGV[2], 'PX', ARGV[3])
return 1
