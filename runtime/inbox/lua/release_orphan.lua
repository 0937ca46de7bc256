--!use names wakes placement history reclaim
-- ARGV: prefix, token of an owner that is dead, tokens for wake-ups.
-- Ends its claim without waiting for the lease. Returns events reclaimed, events that crashed
-- alone, then the wake-ups owed.
write_even_when_full()
local reclaimed, crashed = reclaim(ARGV[2])
-- A message that a pool had already given to the dead one went with it, and nobody knows which.
-- To ring again for one that lives costs a look.
for _, token in ipairs(call('ZRANGE', DRAINERS, 0, -1)) do
  if not call('ZSCORE', CLAIMS, token) then
    call('ZREM', DRAINERS, token)
  end
end
count_reclaimed(reclaimed, crashed)
return with_wakes_owed({ reclaimed, crashed }, 3)
