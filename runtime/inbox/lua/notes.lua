-- A number that is noted every few seconds, in a list, so that every process knows how it has changed
-- within the last minute. An entry is "ms number", the oldest first. Once the clock has stepped back,
-- nothing tells how long ago the older notes were made.
local SIZES, ARRIVALS = named('sizes'), named('arrivals')

local function read_note(entry)
  local at, number = string.match(entry or '', '^(%d+) (%d+)$')
  return tonumber(at or 0), tonumber(number or 0)
end

local function is_outdated(at)
  return at > 0 and (at < NOW - GROWTH_SPAN_MS or at > NOW)
end

local function note(list, number)
  local newest = read_note(call('LINDEX', list, -1))
  if newest <= NOW and newest > NOW - GROWTH_NOTED_MS then
    return
  end
  write_even_when_full()
  if newest > NOW then
    call('DEL', list)
  end
  while is_outdated((read_note(call('LINDEX', list, 0)))) do
    call('LPOP', list)
  end
  call('RPUSH', list, string.format('%.0f %d', NOW, number))
end

-- Time and number of the oldest note of the last minute, or with newest of the youngest, that is at
-- least so many ms old; 0 and 0 if there is none.
local function noted_before(list, ms, newest)
  local found_at, found = 0, 0
  for _, entry in ipairs(call('LRANGE', list, 0, -1)) do
    local at, number = read_note(entry)
    if at > NOW then
      return 0, 0
    end
    if at > 0 and not is_outdated(at) and at <= NOW - ms and (newest or found_at == 0) then
      found_at, found = at, number
    end
  end
  return found_at, found
end

-- All events that ever came in.
local function arrived()
  local counts = call('HMGET', COUNTERS, 'accepted', 'readmitted')
  return tonumber(counts[1] or 0) + tonumber(counts[2] or 0)
end
