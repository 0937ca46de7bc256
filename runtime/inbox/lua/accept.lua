--!use names wakes store done_marker lost_accepts
-- ARGV: prefix, key, fingerprint, partition, meta, body,
-- limit of the inbox (0: none), token for a wake-up, then the inbox epoch and the highest number of
-- an accept that this process was given ('' and 0 at its start), 1 if the caller waits for replicas.
-- Returns its status, the wake-up owed (or ''), the cached result (or ''), the inbox epoch, the
-- number of the newest accept, 1 if this call shows that Redis went back.
local key, fingerprint = ARGV[2], ARGV[3]
local limit = tonumber(ARGV[7])
local event = { key = key, lane = 'live', partition = ARGV[4], meta = ARGV[5], body = ARGV[6] }

local function known_fingerprint(pending, done)
  local header = pending and call('HGET', META, key) or done
  return header and string.match(header, '"fp":"(%x+)"')
end

-- The first body stands. The second is a conflict: stored beside it, in no queue, for an operator.
local function store_conflict()
  local conflict = key .. '#' .. fingerprint
  if call('HEXISTS', CONFLICTS, conflict) == 0 and not is_pending(conflict) then
    call('HSET', BODY, conflict, event.body)
    call('HSET', META, conflict, event.meta)
    call('HSET', CONFLICTS, conflict, NOW)
    call('HINCRBY', COUNTERS, 'conflicts', 1)
  end
  return 'conflict'
end

-- A replica refuses the first command, which changes nothing. WAITAOF on a connection that wrote nothing
-- would not wait: with replicas a duplicate is acknowledged under the condition of the first delivery.
-- Without them it costs no flush to disk.
local function note_known()
  write_even_when_full()
  if ARGV[11] == '1' then
    call('HINCRBY', COUNTERS, 'known', 1)
  end
end

local function answer(status, before, after, wake, result)
  local epoch, lost = accepts_compared(ARGV[9], tonumber(ARGV[10]), before, ARGV[8])
  return { status, wake, result, epoch, after, lost }
end

local done = valid_marker(key)
local pending = is_pending(key)
if pending or done then
  local known, count = known_fingerprint(pending, done), newest_accept()
  if known and known ~= fingerprint then
    note_known()
    return answer(store_conflict(), count, count, '', '')
  end
  note_known()
  return answer('duplicate', count, count, '', done or '')
end
if limit > 0 and call('ZCARD', INDEX) >= limit then
  return { 'full', '', '', '', 0, 0 }
end
store(event)
local number = call('HINCRBY', COUNTERS, 'accepted', 1)
return answer('accepted', number - 1, number, wake_if_owed(ARGV[8]), '')
