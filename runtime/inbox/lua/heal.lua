--!use names placement
-- ARGV: prefix, cursor, how many to scan. Returns the next cursor, and how many were healed.
-- Every event in the index is in the queue of its place or in the claim that holds the place.
local healed = 0

local function heal(key, lane)
  local meta = call('HGET', META, key)
  if call('HSTRLEN', BODY, key) == 0 then
    forget(key, lane)
    healed = healed + 1
    return
  end
  local partition = meta and partition_in(meta)
  if not partition then
    return -- the next claim writes its header, or postpones it
  end
  local place = lane .. '|' .. partition
  local holder = call('HGET', HELD, place)
  if holder and call('HEXISTS', claim_of(holder), 'e:' .. key) == 1 then
    return
  end
  if not call('ZSCORE', queue_of(place), key) then
    call('ZADD', queue_of(place), NOW, key)
    healed = healed + 1
  end
  if not holder and not call('ZSCORE', READY[lane], partition) then
    make_ready(place)
    healed = healed + 1
  end
end

write_even_when_full()
local scanned = call('ZSCAN', INDEX, ARGV[2], 'COUNT', ARGV[3])
for i = 1, #scanned[2], 2 do
  heal(scanned[2][i], lane_of(scanned[2][i]))
end
if healed > 0 then
  call('HINCRBY', COUNTERS, 'healed', healed)
end
return { scanned[1], healed }
