--!use names wakes placement history reclaim
-- ARGV: prefix, token of a dead owner, tokens for wake-ups.
-- Ends its claim without waiting for the lease. Returns events reclaimed, events that crashed
-- alone, then the wake-ups owed.
write_even_when_full()
local reclaimed, crashed = reclaim(ARGV[2])
-- The pool may have passed a wake-up to the dead process, and which one is unknown. So all wake-ups
-- without a claim are sent again. One too many costs a single claim that finds nothing.
for _, token in ipairs(call('ZRANGE', DRAINERS, 0, -1)) do
  if not call('ZSCORE', CLAIMS, token) then
    call('ZREM', DRAINERS, token)
  end
end
count_reclaimed(reclaimed, crashed)
return with_wakes_owed({ reclaimed, crashed }, 3)
