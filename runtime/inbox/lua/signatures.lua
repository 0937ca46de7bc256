--!use names
-- ARGV: prefix, ms to keep the record, ms to keep the use of secrets, deliveries that matched no
-- secret, then a fingerprint of each secret that another one matched.
-- Counts those since the last delivery that matched.
local SIGNATURES, SECRETS = named('signatures'), named('secrets')
local now = string.format('%.0f', NOW)
if #ARGV > 4 then
  call('DEL', SIGNATURES)
  call('HSET', SIGNATURES, 'matched_at', now)
  for number = 5, #ARGV do
    call('HSET', SECRETS, ARGV[number], now)
  end
  call('PEXPIRE', SECRETS, ARGV[3])
end
if tonumber(ARGV[4]) > 0 then
  call('HINCRBY', SIGNATURES, 'mismatched', ARGV[4])
  call('HSETNX', SIGNATURES, 'first_at', now)
  call('HSET', SIGNATURES, 'last_at', now)
end
call('PEXPIRE', SIGNATURES, ARGV[2])
return 1
