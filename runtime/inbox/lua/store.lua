-- Makes an event due whose body and header are stored. The index comes last and makes the event
-- known. If a script breaks off before it, the event is unknown and is stored again when Stripe
-- retries it.
local function enter_inbox(event)
  local place = event.lane .. '|' .. event.partition
  call('ZADD', queue_of(place), NOW, event.key)
  if call('HEXISTS', HELD, place) == 0 then
    local rest = tonumber(call('ZSCORE', RESTING, place) or 0)
    call('ZADD', READY[event.lane], 'LT', math.max(NOW, rest), event.partition)
  end
  if LANE_INDEX[event.lane] then
    call('ZADD', LANE_INDEX[event.lane], NOW, event.key)
  end
  call('ZADD', INDEX, NOW, event.key)
end

local function store(event)
  call('HSET', BODY, event.key, event.body)
  call('HSET', META, event.key, event.meta)
  enter_inbox(event)
end

local function is_pending(key)
  return call('ZSCORE', INDEX, key) and call('HEXISTS', BODY, key) == 1
end
