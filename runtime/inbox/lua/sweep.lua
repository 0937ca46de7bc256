--!use names wakes placement history reclaim
-- ARGV: prefix, most claims to end, tokens for wake-ups.
-- Returns events reclaimed, events that crashed alone, places held by no claim,
-- then the wake-ups owed.
local reclaimed, crashed, orphans = 0, 0, 0

local function release_orphans()
  local held = call('HGETALL', HELD)
  for i = 1, #held, 2 do
    if not call('ZSCORE', CLAIMS, held[i + 1]) then
      free_places({ held[i] })
      orphans = orphans + 1
    end
  end
end

-- A rest that is over ends with the next claim of its place, if events are left there.
local LONGEST_REST_MS = 60000

local function prune()
  call('ZREMRANGEBYSCORE', DRAINERS, '-inf', NOW)
  call('ZREMRANGEBYSCORE', APART, '-inf', NOW)
  call('ZREMRANGEBYSCORE', RESTING, '-inf', NOW - LONGEST_REST_MS)
  local announced = call('HGETALL', WORKERS)
  for i = 1, #announced, 2 do
    if (tonumber(string.match(announced[i + 1], ' (%d+)$')) or 0) <= NOW then
      call('HDEL', WORKERS, announced[i])
    end
  end
end

write_even_when_full()
for _, token in ipairs(call('ZRANGEBYSCORE', CLAIMS, '-inf', NOW, 'LIMIT', 0, ARGV[2])) do
  local events, guilty = reclaim(token)
  reclaimed, crashed = reclaimed + events, crashed + guilty
end
release_orphans()
prune()
count_reclaimed(reclaimed, crashed)
return with_wakes_owed({ reclaimed, crashed, orphans }, 3)
