--!use names placement
-- ARGV: prefix, 1 to remove unclaimed events, keys.
-- For each key: state ('absent', 'waiting', 'claimed', 'conflict'), lane, received ms,
-- due ms, meta, body, history; '' where there is none.
local function found(key, meta)
  local lane, received = lane_of(key), call('ZSCORE', INDEX, key)
  if not received then
    local conflict = call('HGET', CONFLICTS, key)
    return conflict and 'conflict' or 'absent', lane, conflict or '', ''
  end
  local partition = partition_in(meta)
  if not partition then
    return 'waiting', lane, received, ''
  end
  local place = lane .. '|' .. partition
  local due = call('ZSCORE', queue_of(place), key)
  return due and 'waiting' or 'claimed', lane, received, due or '', place
end

local function remove(key, lane, place)
  if place then
    call('ZREM', queue_of(place), key)
    if call('HEXISTS', HELD, place) == 0 then
      make_ready(place)
    end
  end
  call('HDEL', CONFLICTS, key)
  forget(key, lane)
end

local reply = {}
for i = 3, #ARGV do
  local key = ARGV[i]
  local meta = call('HGET', META, key) or '{"v":0,"fp":"","partition":""}'
  local state, lane, received, due, place = found(key, meta)
  -- The body of a settled event may be kept for a while. It is not in the inbox any more.
  local body = state ~= 'absent' and call('HGET', BODY, key) or ''
  local row = { state, lane, received, due, meta, body, call('HGET', HISTORY, key) or '' }
  for _, value in ipairs(row) do
    reply[#reply + 1] = value
  end
  if ARGV[2] == '1' and (state == 'waiting' or state == 'conflict') then
    remove(key, lane, place)
  end
end
return reply
