-- Take due events out of queues, for claim.lua and fetch.lua. The first ten of ARGV are those of
-- claim.lua. A place is taken whole: its due events in order, until one must be claimed alone.
local token, max_events, max_bytes = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
local lease, registration, version = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local claim = claim_of(token)
local entries, bytes, full, alone = {}, 0, false, false
-- While others wait, a place gets at most this part of a claim: its events may be slow to decide.
local SMALLEST_SHARE = 4

-- Only the body must not be lost. A lost header is replaced by one with the partition alone.
local function heal_header(key, place)
  local _, partition = parts_of(place)
  local meta = '{"v":' .. version .. ',"fp":"","partition":' .. cjson.encode(partition) .. '}'
  call('HSET', META, key, meta)
  call('HINCRBY', COUNTERS, 'healed', 1)
  return meta
end

local function drop_without_body(key, place)
  call('ZREM', queue_of(place), key)
  forget(key, (parts_of(place)))
  call('HINCRBY', COUNTERS, 'healed', 1)
end

-- During a deploy two releases run side by side. The newer one takes the entries of both.
local function is_known(written)
  return written and tonumber(written) <= tonumber(version)
end

-- A newer release wrote it, so it waits for a worker of that release.
local function postpone(key, place)
  local due = NOW + ARGV[10]
  call('ZADD', UNKNOWN, 'NX', NOW, key)
  note_parked(key, (parts_of(place)), due)
  call('ZADD', queue_of(place), due, key)
end

local function take(key, place, meta, history, size)
  if #entries == 0 then
    call('ZADD', CLAIMS, NOW + lease, token)
  end
  call('HSET', claim, 'e:' .. key, place)
  entries[#entries + 1] = { key, (parts_of(place)), meta, history }
  bytes = bytes + size
end

-- Takes one event if it may join the claim; true if the next one of its place may follow. A suspect
-- (an event that failed or crashed) is claimed alone, so that it cannot fail others; so is the first
-- event of a place that rested, because its party may still be locked. One that does
-- not fit ends the claim, because a later one must not overtake it within its partition.
local function consider(key, place, meta, history)
  local size = call('HSTRLEN', BODY, key)
  if size == 0 then
    drop_without_body(key, place)
    return true
  end
  meta = meta or heal_header(key, place)
  if not is_known(string.match(meta, '^{"v":(%d+)')) then
    postpone(key, place)
    return true
  end
  local suspect = is_suspect(history) or call('ZSCORE', RESTING, place)
  if #entries > 0 and (suspect or bytes + size > max_bytes) then
    full = full or not suspect
    return false
  end
  take(key, place, meta, history, size)
  alone = suspect
  return not suspect
end

-- The claim owns the whole partition from now on: it leaves READY, and its events leave the queue.
local function hold(place, taken)
  local lane, partition = parts_of(place)
  call('ZREM', RESTING, place)
  call('HSET', claim, 'n:' .. place, #taken)
  call('HSET', HELD, place, token)
  call('ZREM', READY[lane], partition)
  call('ZREM', queue_of(place), unpack(taken))
  call('ZREM', PARKED, unpack(taken))
  if lane == 'fetch' then
    call('ZREM', PARKED_FETCH, unpack(taken))
  end
  call('ZREM', UNKNOWN, unpack(taken))
end

-- At most one of so many shares of the claim; one event is taken in any case.
local function take_from(place, shares)
  local apart = is_apart(place)
  if apart and #entries > 0 then
    return
  end
  shares = apart and 1 or shares
  local most = math.min(math.ceil(max_events / shares), max_events - #entries)
  local max_bytes_here = shares > 1 and bytes + max_bytes / shares or max_bytes
  local due = call('ZRANGEBYSCORE', queue_of(place), '-inf', NOW, 'LIMIT', 0, most)
  local taken = {}
  if #due > 0 then
    local metas, histories = call('HMGET', META, unpack(due)), call('HMGET', HISTORY, unpack(due))
    for i, key in ipairs(due) do
      local before = #entries
      local more = consider(key, place, metas[i], histories[i])
      if #entries > before then
        taken[#taken + 1] = key
      end
      if not more or bytes >= max_bytes_here then
        break
      end
    end
  end
  if #taken > 0 then
    full = full or apart
    hold(place, taken)
  else
    make_ready(place)
  end
end

local function take_from_lane(lane)
  local due = call('ZRANGEBYSCORE', READY[lane], '-inf', NOW, 'LIMIT', 0, max_events)
  for _, partition in ipairs(due) do
    if full or alone or #entries >= max_events then
      return
    end
    take_from(lane .. '|' .. partition, math.min(#due, SMALLEST_SHARE))
  end
end

local function received(key)
  local at = call('ZSCORE', INDEX, key)
  if not at then
    at = NOW
    call('ZADD', INDEX, at, key)
  end
  return at
end

local function note_claim()
  call('HSET', claim, 'alone', #entries == 1 and 1 or 0)
  call('HINCRBY', COUNTERS, 'claimed', #entries)
end

local function answer(wake)
  local reply = { 0, wake }
  for _, entry in ipairs(entries) do
    local key, lane, meta, history = entry[1], entry[2], entry[3], entry[4]
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = key, lane, received(key)
    reply[n + 4], reply[n + 5], reply[n + 6] = meta, call('HGET', BODY, key), history or ''
  end
  return reply
end
