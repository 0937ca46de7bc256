--!use names placement history clock fetching
-- ARGV: prefix, cursor, how many events to look at.
-- Runs after the clock stepped back. Returns the next cursor (0: done), and how many events were due
-- or accepted in the future and are no longer.
local clamped = 0

-- The delay for which an event was parked counts from now on.
local function due_after_step(key, due)
  local history = history_of(call('HGET', HISTORY, key))
  local failed_at = tonumber(history.last_failed_at) or NOW
  if not call('ZSCORE', PARKED, key) then
    return NOW
  end
  if failed_at > NOW + CLOCK_SLACK_MS and due >= failed_at then
    amend(key, function(seen)
      seen.last_failed_at = NOW
      seen.first_failed_at = math.min(tonumber(seen.first_failed_at) or NOW, NOW)
    end)
    due = NOW + due - failed_at
  end
  return due > NOW + MAX_DELAY_MS and NOW or due
end

local function clamp_due(key, lane, place)
  local due = tonumber(call('ZSCORE', queue_of(place), key))
  if not due or due <= NOW + CLOCK_SLACK_MS then
    return false
  end
  local now_due = due_after_step(key, due)
  if now_due == due then
    return false
  end
  call('ZADD', queue_of(place), now_due, key)
  if call('ZSCORE', PARKED, key) then
    note_parked(key, lane, now_due)
  end
  if call('HEXISTS', HELD, place) == 0 then
    make_ready(place)
  end
  return true
end

local function clamp_event(key, received)
  local lane, meta = lane_of(key), call('HGET', META, key)
  local partition = meta and partition_in(meta)
  local late = tonumber(received) > NOW + CLOCK_SLACK_MS
  if late then
    call('ZADD', INDEX, NOW, key)
    if LANE_INDEX[lane] then
      call('ZADD', LANE_INDEX[lane], NOW, key)
    end
  end
  if (partition and clamp_due(key, lane, lane .. '|' .. partition)) or late then
    clamped = clamped + 1
  end
end

write_even_when_full()
local scanned = call('ZSCAN', INDEX, ARGV[2], 'COUNT', ARGV[3])
for i = 1, #scanned[2], 2 do
  clamp_event(scanned[2][i], scanned[2][i + 1])
end
if scanned[1] == '0' then
  note_clock()
end
return { scanned[1], clamped }
