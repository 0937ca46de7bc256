--!use names wakes places history
-- ARGV: prefix, most claims to end in one go, tokens for wake-ups.
-- Returns events reclaimed, events that crashed alone, places freed of a claim that is gone,
-- then the wake-ups owed.
local reclaimed, crashed, orphans = 0, 0, 0

-- Its owner said nothing: each event may be the one that killed it, so each is tried alone next.
-- Only one that was alone already is charged.
local function reclaim(token)
  local claim, freed = claim_of(token), {}
  local keys = keys_held(claim)
  local guilty = #keys == 1 and call('HGET', claim, 'alone') == '1'
  for _, key in ipairs(keys) do
    amend(key, function(history)
      history.suspect = true
      if guilty then
        history.crashes = history.crashes + 1
        history.first_failed_at = history.first_failed_at or NOW
        history.last_failed_at = NOW
      end
    end)
    requeue(claim, key, NOW, freed)
  end
  release(freed)
  call('DEL', claim)
  call('ZREM', CLAIMS, token)
  call('ZREM', DRAINERS, token)
  reclaimed = reclaimed + #keys
  crashed = crashed + (guilty and 1 or 0)
end

local function release_orphans()
  local held = call('HGETALL', HELD)
  for i = 1, #held, 2 do
    if not call('ZSCORE', CLAIMS, held[i + 1]) then
      release({ held[i] })
      orphans = orphans + 1
    end
  end
end

local function prune()
  call('ZREMRANGEBYSCORE', DRAINERS, '-inf', NOW)
  local announced = call('HGETALL', WORKERS)
  for i = 1, #announced, 2 do
    if (tonumber(string.match(announced[i + 1], ' (%d+)$')) or 0) <= NOW then
      call('HDEL', WORKERS, announced[i])
    end
  end
end

write_even_when_full()
for _, token in ipairs(call('ZRANGEBYSCORE', CLAIMS, '-inf', NOW, 'LIMIT', 0, ARGV[2])) do
  reclaim(token)
end
release_orphans()
prune()
if reclaimed > 0 then
  call('HINCRBY', COUNTERS, 'reclaimed', reclaimed)
  call('HINCRBY', COUNTERS, 'crashed', crashed)
end
local reply = { reclaimed, crashed, orphans }
for i = 3, #ARGV do
  if not wake_is_owed() then
    break
  end
  reply[#reply + 1] = owe(ARGV[i])
end
return reply
