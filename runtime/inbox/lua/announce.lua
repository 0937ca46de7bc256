--!use names
-- ARGV: prefix, worker, processes (0: remove it), ms until the entry expires.
write_even_when_full()
if ARGV[3] == '0' then
  return call('HDEL', WORKERS, ARGV[2])
end
return call('HSET', WORKERS, ARGV[2], ARGV[3] .. ' ' .. string.format('%.0f', NOW + ARGV[4]))
