-- The events that left the inbox last. Ids and settlement numbers of settled ones tell whether the
-- database still has them. Bodies are kept so that the inbox can take back what the database lost.
-- A list holds "ms settlement id" in SETTLED and "ms bytes key" in SETTLED_BODIES, oldest first.
local SETTLED, SETTLED_BODIES = named('settled'), named('settled:bodies')
local SETTLED_STATE = named('settled:state')
local MIN, MAX = 1000, 200000

-- confirmed: when the database was last seen to have the newest of them. What left the inbox up to a
-- minute before that is kept, so nothing is dropped while the database is away. most_bytes: how much
-- the bodies may take; nothing is kept until a supervisor has set it.
local state = call('HMGET', SETTLED_STATE, 'confirmed', 'most_bytes', 'bytes')
local confirmed, most_bytes = tonumber(state[1]) or 0, tonumber(state[2]) or 0
local bytes_kept = tonumber(state[3]) or 0

local function too_old(at)
  return at < math.min(confirmed, NOW) - SETTLED_KEPT_MS
end

-- Looks at the oldest ones, as many as given. Returns how many there were to look at, and drops.
local function drop_settled(most)
  local surplus = call('LLEN', SETTLED) - MIN
  if surplus <= 0 then
    return 0
  end
  local dropped, forced = 0, surplus + MIN - MAX
  for i, entry in ipairs(call('LRANGE', SETTLED, 0, math.min(surplus, most) - 1)) do
    if i > forced and not too_old(tonumber(string.match(entry, '^%d+'))) then
      break
    end
    dropped = i
  end
  if dropped > 0 then
    call('LTRIM', SETTLED, dropped, -1)
  end
  return dropped
end

local function drop_body(key)
  if not call('ZSCORE', INDEX, key) and call('HEXISTS', CONFLICTS, key) == 0 then
    call('HDEL', BODY, key)
    call('HDEL', META, key)
  end
end

local function drop_bodies(most)
  local dropped = 0
  for i, entry in ipairs(call('LRANGE', SETTLED_BODIES, 0, most - 1)) do
    local at, bytes, key = string.match(entry, '^(%d+) (%d+) (.*)$')
    if bytes_kept <= most_bytes and not too_old(tonumber(at)) then
      break
    end
    drop_body(key)
    bytes_kept, dropped = bytes_kept - bytes, i
  end
  if dropped > 0 then
    call('LTRIM', SETTLED_BODIES, dropped, -1)
    -- An empty list has no bytes, so that no miscount lasts.
    bytes_kept = call('EXISTS', SETTLED_BODIES) == 1 and bytes_kept or 0
    call('HSET', SETTLED_STATE, 'bytes', bytes_kept)
  end
  return dropped
end

-- If most is above the number that a caller adds, both lists shrink to their bounds.
local function drop_surplus(most)
  drop_settled(most)
  repeat
    local dropped = drop_bodies(most)
  until dropped == 0 or bytes_kept <= most_bytes
end
