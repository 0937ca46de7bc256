--!use names wakes store
-- ARGV: prefix, key, fingerprint, partition, meta, body,
-- limit of the inbox (0: none), token for a wake-up.
-- Returns its status, the wake-up owed (or ''), the cached result (or '').
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
  return { 'conflict', '', '' }
end

-- A write, also on a full server: a replica refuses it, and WAITAOF on a connection that wrote nothing
-- would not wait. So a duplicate is acknowledged under the same condition as the first delivery.
local function note_known()
  write_even_when_full()
  call('HINCRBY', COUNTERS, 'known', 1)
end

local done = call('GET', done_marker_of(key))
local pending = is_pending(key)
if pending or done then
  local known = known_fingerprint(pending, done)
  if known and known ~= fingerprint then
    note_known()
    return store_conflict()
  end
  note_known()
  return { 'duplicate', '', done or '' }
end
if limit > 0 and call('ZCARD', INDEX) >= limit then
  return { 'full', '', '' }
end
store(event)
call('HINCRBY', COUNTERS, 'accepted', 1)
return { 'accepted', wake_if_owed(ARGV[8]), '' }
