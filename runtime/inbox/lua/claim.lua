--!use names wakes placement history claim_common
-- ARGV: prefix, token, the wake-up that led to this call (or ''), token for a further wake-up, most
-- events, most bytes, lease ms, registration ms, version this code reads, ms until an
-- unknown version is tried again, lanes in order of preference.
-- Returns whether the breaker is open, the wake-up owed (or ''), then for each event: key, lane,
-- received ms, meta, body, history (or '').
write_even_when_full()
call('ZREM', DRAINERS, token, ARGV[3])
-- An owner that asks for more never received what it still holds: the reply was lost.
release(token, claim)
if call('EXISTS', BREAKER) == 1 then
  return { 1, '' }
end
local drains = false
for i = 11, #ARGV do
  drains = drains or ARGV[i] == 'live'
  take_from_lane(ARGV[i])
end
if #entries == 0 then
  return { 0, '' }
end
note_claim()
if not drains then
  return answer('')
end
call('ZADD', DRAINERS, NOW + registration, token)
local helpers_wanted = full or alone or #entries >= max_events
if helpers_wanted and oldest_due() and drainers() < worker_processes() then
  return answer(owe(ARGV[4]))
end
return answer('')
