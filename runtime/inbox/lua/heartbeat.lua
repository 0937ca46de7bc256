--!use names
-- ARGV: prefix, token, lease ms, registration ms. Returns 1 while the claim lasts.
write_even_when_full()
if not call('ZSCORE', CLAIMS, ARGV[2]) then
  return 0
end
call('ZADD', CLAIMS, NOW + ARGV[3], ARGV[2])
call('ZADD', DRAINERS, 'XX', NOW + ARGV[4], ARGV[2])
call('ZADD', FETCHERS, 'XX', NOW + ARGV[4], ARGV[2])
return 1
