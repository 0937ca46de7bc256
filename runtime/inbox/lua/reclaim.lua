-- The owner died or hangs, and each event may be the cause, so each is tried alone next. An event
-- that was alone already is charged with a crash. Returns how many events, and how many crashes.
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
    put_back(claim, key, NOW, freed)
  end
  free_places(freed)
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

-- Adds the wake-ups owed. Their tokens are the arguments from number first on.
local function with_wakes_owed(reply, first)
  for i = first, #ARGV do
    if not wake_is_owed() then
      break
    end
    reply[#reply + 1] = owe(ARGV[i])
  end
  return reply
end
