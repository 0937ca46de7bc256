-- Its owner said nothing: each event may be the one that killed it, so each is tried alone next.
-- Only one that was alone already is charged. Returns how many, and how many of them were.
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
  call('ZREM', FETCHERS, token)
  return #keys, guilty and 1 or 0
end

local function count_reclaimed(reclaimed, crashed)
  if reclaimed > 0 then
    call('HINCRBY', COUNTERS, 'reclaimed', reclaimed)
    call('HINCRBY', COUNTERS, 'crashed', crashed)
  end
end

-- Adds as many wake-ups as are owed; the arguments from the first on are tokens for them.
local function with_wakes_owed(reply, first)
  for i = first, #ARGV do
    if not wake_is_owed() then
      break
    end
    reply[#reply + 1] = owe(ARGV[i])
  end
  return reply
end
