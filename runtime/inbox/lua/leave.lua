--!use names wakes placement
-- ARGV: prefix, token, whether to end the registration (1), token for a wake-up ('' for none).
-- Releases the rest of the claim. Returns how many, and the wake-up owed (or '').
write_even_when_full()
local released = release(ARGV[2], claim_of(ARGV[2]))
if ARGV[3] == '1' then
  call('ZREM', DRAINERS, ARGV[2])
end
return { released, ARGV[4] ~= '' and wake_if_owed(ARGV[4]) or '' }
