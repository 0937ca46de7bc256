-- An unfinished event is in the queue of its place (lane and partition), or in one claim. A claimed
-- place is in HELD. An unclaimed place that has events is in READY.
local function parts_of(place)
  return string.match(place, '^(%l+)|(.*)$')
end

-- nil if the header cannot be read. The name of the event's queue still holds its partition.
local function partition_in(meta)
  local read, header = pcall(cjson.decode, meta)
  local partition = read and type(header) == 'table' and header.partition
  return type(partition) == 'string' and partition or nil
end

local function lane_of(key)
  for lane, index in pairs(LANE_INDEX) do
    if call('ZSCORE', index, key) then
      return lane
    end
  end
  return 'live'
end

-- Moves the index entry, and returns the place in the other lane. All else is stored by key alone.
local function enter_lane(key, place, lane)
  local from, partition = parts_of(place)
  if LANE_INDEX[lane] then
    call('ZADD', LANE_INDEX[lane], call('ZSCORE', INDEX, key) or NOW, key)
  end
  if LANE_INDEX[from] and from ~= lane then
    call('ZREM', LANE_INDEX[from], key)
  end
  return lane .. '|' .. partition
end

local function is_apart(place)
  return tonumber(call('ZSCORE', APART, place) or 0) > NOW
end

-- A place that is claimed apart goes behind those that wait already.
local function make_ready(place)
  local lane, partition = parts_of(place)
  local head = call('ZRANGE', queue_of(place), 0, 0, 'WITHSCORES')
  if head[1] then
    local rest = call('ZSCORE', RESTING, place)
    local behind = is_apart(place) and NOW or 0
    local due = math.max(tonumber(head[2]), tonumber(rest or 0), behind)
    call('ZADD', READY[lane], due, partition)
  else
    call('ZREM', READY[lane], partition)
  end
end

local function free_places(places)
  for _, place in ipairs(places) do
    call('HDEL', HELD, place)
    make_ready(place)
  end
end

-- Takes one event out of a claim. Returns its place, or nil if it was not held. A place
-- without further events in the claim is added to freed, for free_places once its queue is complete.
local function let_go(claim, key, freed)
  local place = call('HGET', claim, 'e:' .. key)
  if not place then
    return nil
  end
  call('HDEL', claim, 'e:' .. key)
  if call('HINCRBY', claim, 'n:' .. place, -1) <= 0 then
    call('HDEL', claim, 'n:' .. place)
    freed[#freed + 1] = place
  end
  return place
end

local function keys_held(claim)
  local keys = {}
  local fields = call('HGETALL', claim)
  for i = 1, #fields, 2 do
    local key = string.match(fields[i], '^e:(.*)$')
    if key then
      keys[#keys + 1] = key
    end
  end
  return keys
end

local function close_if_empty(token, claim)
  if #keys_held(claim) == 0 then
    call('DEL', claim)
    call('ZREM', CLAIMS, token)
  end
end

-- First into the queue, then out of the claim, so that the event is always in one of them. With a
-- lane it moves there. Returns the place whose queue it is in now, or nil if it was not held.
local function put_back(claim, key, due, freed, lane)
  local place = call('HGET', claim, 'e:' .. key)
  if not place then
    return nil
  end
  local target = lane and enter_lane(key, place, lane) or place
  call('ZADD', queue_of(target), due, key)
  let_go(claim, key, freed)
  -- Its own place is held by this claim, and becomes ready when the claim ends.
  if target ~= place and call('HEXISTS', HELD, target) == 0 then
    make_ready(target)
  end
  return target
end

-- Where an event stands among those that were never claimed.
local function received_at(key)
  return math.min(tonumber(call('ZSCORE', INDEX, key)) or NOW, NOW)
end

-- Uncharged: the events become due as if they had never been claimed.
local function release(token, claim)
  local freed, keys = {}, keys_held(claim)
  for _, key in ipairs(keys) do
    put_back(claim, key, received_at(key), freed)
  end
  free_places(freed)
  close_if_empty(token, claim)
  return #keys
end

-- Those in the fetch lane are counted separately: more workers would not settle them sooner.
local function note_parked(key, lane, due)
  call('ZADD', PARKED, due, key)
  if lane == 'fetch' then
    call('ZADD', PARKED_FETCH, due, key)
  end
end

-- The body and the header stay.
local function leave_inbox(key, lane)
  call('HDEL', HISTORY, key)
  call('ZREM', PARKED, key)
  call('ZREM', UNKNOWN, key)
  if LANE_INDEX[lane] then
    call('ZREM', LANE_INDEX[lane], key)
  end
  if lane == 'fetch' then
    call('ZREM', PARKED_FETCH, key)
  end
  call('ZREM', INDEX, key)
end

local function forget(key, lane)
  call('HDEL', BODY, key)
  call('HDEL', META, key)
  leave_inbox(key, lane)
end
