--!use names wakes placement store recent
-- ARGV: prefix, ms, most events, token for a wake-up.
-- Puts the events that left the inbox since then into it again, newest first, if their bodies are
-- kept. Returns how many it looked at, how many entered, and the wake-up owed (or '').
local since, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local seen, entered = 0, 0

local function enter_again(key)
  local meta = call('HGET', META, key)
  local partition = meta and partition_in(meta)
  if call('ZSCORE', INDEX, key) or not partition or call('HSTRLEN', BODY, key) == 0 then
    return 0
  end
  local lane = string.find(meta, '"origin":"replay"', 1, true) and 'replay' or 'live'
  call('DEL', done_marker_of(key))
  enter_inbox({ key = key, lane = lane, partition = partition })
  return 1
end

write_even_when_full()
local newest = call('LRANGE', SETTLED_BODIES, -most, -1)
for i = #newest, 1, -1 do
  local at, bytes, key = string.match(newest[i], '^(%d+) (%d+) (.*)$')
  if tonumber(at) < since then
    break
  end
  entered = entered + enter_again(key)
  bytes_kept, seen = bytes_kept - bytes, seen + 1
end
if seen > 0 then
  call('LTRIM', SETTLED_BODIES, 0, -seen - 1)
  call('HSET', SETTLED_STATE, 'bytes', math.max(bytes_kept, 0))
  call('HINCRBY', COUNTERS, 'readmitted', entered)
end
return { seen, entered, wake_if_owed(ARGV[4]) }
