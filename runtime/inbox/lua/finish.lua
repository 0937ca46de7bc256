--!use names placement
-- ARGV: prefix, token, highest new settlement (or ''), marker ms, counter, then for each event:
-- key, marker ('' for none).
-- Removes those that this claim still holds. Returns how many, and 1 if the database went back in
-- time.
local token, settlement, marker_ms = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local claim = claim_of(token)

-- Settlement numbers only grow, and this claim began after the highest known one. A new number that
-- is not above it comes from a database that lost some. Reported once, then counted from there.
local function went_back()
  local seen = call('HMGET', claim, 'settlement', 'rewinds')
  local highest = tonumber(call('GET', SETTLEMENT) or 0)
  local rewinds = call('HGET', COUNTERS, 'rewinds') or '0'
  if seen[2] == rewinds and settlement <= tonumber(seen[1]) then
    call('SET', SETTLEMENT, settlement)
    call('HINCRBY', COUNTERS, 'rewinds', 1)
    return 1
  end
  if settlement > highest then
    call('SET', SETTLEMENT, settlement)
  end
  return 0
end

write_even_when_full()
local finished, rewound, freed = 0, 0, {}
for i = 6, #ARGV, 2 do
  local key, marker = ARGV[i], ARGV[i + 1]
  local place = call('HGET', claim, 'e:' .. key)
  if place then
    if settlement and finished == 0 then
      rewound = went_back()
    end
    forget(key, (parts_of(place)))
    if marker ~= '' then
      call('SET', done_marker_of(key), marker, 'PX', marker_ms)
    end
    let_go(claim, key, freed)
    finished = finished + 1
  end
end
free_places(freed)
if finished > 0 then
  call('HINCRBY', COUNTERS, ARGV[5], finished)
  close_if_empty(token, claim)
end
return { finished, rewound }
