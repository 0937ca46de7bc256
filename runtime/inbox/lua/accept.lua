--!use names wakes store done_marker lost_accepts
-- ARGV: prefix, limit of the inbox (0: none), token for a wake-up, the inbox epoch and the highest number
-- of an accept that this process was given ('' and 0 at its start), 1 if the caller waits for replicas;
-- then for each event: key, fingerprint, partition, meta, body.
-- Returns the inbox epoch, the number of the newest accept, 1 if this call shows that Redis went back,
-- the wake-up owed (or ''); then for each event its status and its cached result (or '').
local limit, FIRST, WIDTH = tonumber(ARGV[2]), 7, 5
local accepted, known = 0, {}
local answer = { '', 0, 0, '' }

local function event_at(i)
  return { key = ARGV[i], lane = 'live', partition = ARGV[i + 2], meta = ARGV[i + 3], body = ARGV[i + 4] }
end

-- A full server refuses the first write of a script, and none after it: so known events, which it must
-- recognize, come last. Whatever else is wrong with the server ends the script.
local function store_body(event)
  local stored = redis.pcall('HSET', BODY, event.key, event.body)
  if type(stored) == 'number' then
    return true
  end
  return not string.find(stored.err, 'OOM', 1, true) and call('HSET', BODY, event.key, event.body)
end

local function accept(event)
  if limit > 0 and call('ZCARD', INDEX) >= limit then
    return 'full'
  end
  if not store_body(event) then
    return 'no memory'
  end
  call('HSET', META, event.key, event.meta)
  enter_inbox(event)
  accepted = accepted + 1
  return 'accepted'
end

local function known_fingerprint(key, pending, done)
  local header = pending and call('HGET', META, key) or done
  return header and string.match(header, '"fp":"(%x+)"')
end

-- The first body stands. The second is a conflict: stored beside it, in no queue, for an operator.
local function store_conflict(event, fingerprint)
  local conflict = event.key .. '#' .. fingerprint
  if call('HEXISTS', CONFLICTS, conflict) == 0 and not is_pending(conflict) then
    call('HSET', BODY, conflict, event.body)
    call('HSET', META, conflict, event.meta)
    call('HSET', CONFLICTS, conflict, NOW)
    call('HINCRBY', COUNTERS, 'conflicts', 1)
  end
end

-- A replica refuses the first command, which changes nothing. WAITAOF on a connection that wrote nothing
-- would not wait: with replicas a duplicate is acknowledged under the condition of the first delivery.
-- Without them it costs no flush to disk.
local function note_known()
  write_even_when_full()
  if ARGV[6] == '1' then
    call('HINCRBY', COUNTERS, 'known', 1)
  end
end

local function recognize(event, fingerprint, pending, done)
  local stored = known_fingerprint(event.key, pending, done)
  note_known()
  if stored and stored ~= fingerprint then
    store_conflict(event, fingerprint)
    return 'conflict', ''
  end
  return 'duplicate', done or ''
end

for i = FIRST, #ARGV, WIDTH do
  local done, pending = valid_marker(ARGV[i]), is_pending(ARGV[i])
  local status = ''
  if pending or done then
    known[#known + 1] = { at = #answer + 1, event = i, pending = pending, done = done }
  else
    status = accept(event_at(i))
  end
  answer[#answer + 1], answer[#answer + 2] = status, ''
end
for _, each in ipairs(known) do
  local status, result =
    recognize(event_at(each.event), ARGV[each.event + 1], each.pending, each.done)
  answer[each.at], answer[each.at + 1] = status, result
end
if accepted > 0 or #known > 0 then
  local newest = accepted > 0 and call('HINCRBY', COUNTERS, 'accepted', accepted) or newest_accept()
  local epoch, lost = accepts_compared(ARGV[4], tonumber(ARGV[5]), newest - accepted, ARGV[3])
  answer[1], answer[2], answer[3] = epoch, newest, lost
end
answer[4] = accepted > 0 and wake_if_owed(ARGV[3]) or ''
return answer
