--!use names
-- ARGV: prefix, supervisor, ms the lead lasts unless it is renewed (0: release it).
-- Returns 1 while this supervisor leads.
write_even_when_full()
local holder = call('GET', LEADER)
if holder and holder ~= ARGV[2] then
  -- No lease is longer, unless the clock stepped back under it.
  if ARGV[3] ~= '0' and call('PTTL', LEADER) > tonumber(ARGV[3]) then
    call('PEXPIRE', LEADER, ARGV[3])
  end
  return 0
end
if ARGV[3] == '0' then
  call('DEL', LEADER)
  return 0
end
call('SET', LEADER, ARGV[2], 'PX', ARGV[3])
return 1
