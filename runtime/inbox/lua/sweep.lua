--!use names wakes placement history reclaim fetching clock notes
-- ARGV: prefix, most claims to end, lease ms, registration ms, announcement ms, tokens for wake-ups.
-- Returns events reclaimed, events that crashed alone, places held by no claim, 1 if the clock
-- stepped back (then clamp.lua has to run), then the wake-ups owed.
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
local function prune()
  call('ZREMRANGEBYSCORE', DRAINERS, '-inf', NOW)
  call('ZREMRANGEBYSCORE', APART, '-inf', NOW)
  call('ZREMRANGEBYSCORE', RESTING, '-inf', NOW - ENDED_REST_MS)
  local announced = call('HGETALL', WORKERS)
  for i = 1, #announced, 2 do
    if (tonumber(string.match(announced[i + 1], ' (%d+)$')) or 0) <= NOW then
      call('HDEL', WORKERS, announced[i])
    end
  end
end

-- After a step back of the clock a rest, or the time for which a place is claimed apart, may lie
-- ahead as far as the clock stepped. Both only spare other events, so they end.
local function end_rests_ahead()
  call('ZREMRANGEBYSCORE', APART, '(' .. (NOW + APART_MS + CLOCK_SLACK_MS), '+inf')
  local ahead = '(' .. (NOW + MAX_REST_MS + CLOCK_SLACK_MS)
  for _, place in ipairs(call('ZRANGEBYSCORE', RESTING, ahead, '+inf')) do
    call('ZREM', RESTING, place)
    if call('HEXISTS', HELD, place) == 0 then
      make_ready(place)
    end
  end
end

write_even_when_full()
clamp_leases(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
end_rests_ahead()
local stepped_back = clock_stepped_back()
if not stepped_back then
  note_clock()
end
for _, token in ipairs(call('ZRANGEBYSCORE', CLAIMS, '-inf', NOW, 'LIMIT', 0, ARGV[2])) do
  local events, guilty = reclaim(token)
  reclaimed, crashed = reclaimed + events, crashed + guilty
end
release_orphans()
prune()
-- Ingest notes it as well, but need not run: a replay comes without it.
note(ARRIVALS, arrived())
count_reclaimed(reclaimed, crashed)
return with_wakes_owed({ reclaimed, crashed, orphans, stepped_back and 1 or 0 }, 6)
