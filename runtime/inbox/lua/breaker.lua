--!use names
-- ARGV: prefix, reason, ms it stays open (0: close it now).
-- The value is the time since when it is open, in ms, and the reason; opening it again keeps the time.
local since = string.match(call('GET', BREAKER) or '', '^(%d+) ') or string.format('%.0f', NOW)
call('DEL', BREAKER)
if ARGV[3] ~= '0' then
  call('SET', BREAKER, since .. ' ' .. ARGV[2], 'PX', ARGV[3])
end
return 1
