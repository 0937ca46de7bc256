--!use names wakes placement
-- ARGV: prefix, token, whether to end the registration (1), token for a wake-up ('' for none).
-- Gives back what the claim still holds. Returns how many, and the wake-up owed (or '').
write_even_when_full()
local given = give_back(ARGV[2], claim_of(ARGV[2]))
if ARGV[3] == '1' then
  call('ZREM', DRAINERS, ARGV[2])
end
return { given, ARGV[4] ~= '' and wake_if_owed(ARGV[4]) or '' }
