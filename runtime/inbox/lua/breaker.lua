--!use names
-- ARGV: prefix, reason, ms it stays open (0: close it now).
call('DEL', BREAKER)
if ARGV[3] ~= '0' then
  call('SET', BREAKER, ARGV[2], 'PX', ARGV[3])
end
return 1
