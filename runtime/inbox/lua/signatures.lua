--!use names
-- ARGV: prefix, ms to keep the record, deliveries that matched no secret, 1 if another one matched.
-- Counts those since the last delivery that matched.
local SIGNATURES = named('signatures')
local now = string.format('%.0f', NOW)
if ARGV[4] == '1' then
  call('DEL', SIGNATURES)
  call('HSET', SIGNATURES, 'matched_at', now)
end
if tonumber(ARGV[3]) > 0 then
  call('HINCRBY', SIGNATURES, 'mismatched', ARGV[3])
  call('HSETNX', SIGNATURES, 'first_at', now)
  call('HSET', SIGNATURES, 'last_at', now)
end
call('PEXPIRE', SIGNATURES, ARGV[2])
return 1
