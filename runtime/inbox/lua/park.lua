--!use names placement history
-- ARGV: prefix, token, then for each event: key, delay ms, 1 if the attempt counts, error, lane
-- to move to ('' to stay), ms for which its whole place rests (0: it does not).
local claim = claim_of(ARGV[2])

local function note(key, charged, text)
  amend(key, function(history)
    history.attempts = history.attempts + charged
    -- An event that was charged once is tried alone from now on, so that it splits no batch again.
    history.suspect = history.attempts > 0 or nil
    history.first_failed_at = history.first_failed_at or NOW
    history.last_failed_at = NOW
    history.last_error = text
  end)
end

local function park(key, delay, charged, text, lane, rest, freed)
  local place = put_back(claim, key, NOW + delay, freed, lane ~= '' and lane or nil)
  if not place then
    return 0
  end
  if rest > 0 then
    call('ZADD', RESTING, NOW + rest, place)
  end
  note(key, charged, text)
  note_parked(key, (parts_of(place)), NOW + delay)
  return 1
end

write_even_when_full()
local parked, freed = 0, {}
for i = 3, #ARGV, 6 do
  local key, delay, charged = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local text, lane, rest = ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5])
  parked = parked + park(key, delay, charged, text, lane, rest, freed)
end
free_places(freed)
if parked > 0 then
  call('HINCRBY', COUNTERS, 'parked', parked)
  close_if_empty(ARGV[2], claim)
end
return parked
