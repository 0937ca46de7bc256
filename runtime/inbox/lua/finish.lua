--!use names placement done_marker recent service
-- ARGV: prefix, token, marker ms, counter, the class of sizes of the batch ('' if its time was not
-- measured), its events, microseconds and bytes, then for each event: key, marker ('' for none), settlement
-- number and event id ('' if it is not settled).
-- Removes those that this claim still holds. Returns how many.
local token, marker_ms = ARGV[2], ARGV[3]
local claim, now = claim_of(ARGV[2]), string.format('%.0f', NOW)
local freed, settled, bodies = {}, {}, {}
local finished = 0

-- The body stays where it is: to move it would write all of it to the append-only file once more.
local function keep_body(key, lane)
  local bytes = most_bytes > 0 and call('HSTRLEN', BODY, key) or 0
  if bytes == 0 then
    return forget(key, lane)
  end
  leave_inbox(key, lane)
  bodies[#bodies + 1] = now .. ' ' .. bytes .. ' ' .. key
  bytes_kept = bytes_kept + bytes
end

write_even_when_full()
for i = 7, #ARGV, 3 do
  local key, marker, settlement = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local place = call('HGET', claim, 'e:' .. key)
  if place then
    keep_body(key, (parts_of(place)))
    if marker ~= '' then
      mark_done(key, marker, marker_ms)
    end
    if settlement ~= '' then
      settled[#settled + 1] = now .. ' ' .. settlement
    end
    let_go(claim, key, freed)
    finished = finished + 1
  end
end
free_places(freed)
if #settled > 0 then
  call('RPUSH', SETTLED, unpack(settled))
end
if #bodies > 0 then
  call('RPUSH', SETTLED_BODIES, unpack(bodies))
  call('HSET', SETTLED_STATE, 'bytes', bytes_kept)
end
if finished > 0 then
  drop_surplus(math.max(2 * finished, 100))
  call('HINCRBY', COUNTERS, ARGV[4], finished)
  if ARGV[5] ~= '' then
    note_service(ARGV[5], ARGV[6])
  end
  close_if_empty(token, claim)
end
return finished
