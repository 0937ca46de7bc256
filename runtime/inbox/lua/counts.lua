--!use names
-- ARGV: prefix, the kind of process that reports, ms of a short interval and the number of places for
-- them, the same two of a long interval; then for each value: add or max, its name, its number.
-- Puts the values into the short and the long interval in which they were counted. Returns the time.
-- A key has one field for each place of a ring, so it never grows beyond them. A field holds the number
-- of its interval and the values, each as "name=value". The value of the kind is the number of its
-- reports, and in a long interval that of the short ones with such a report.
local FIRST, WIDTH = 7, 3
local kind, short_ms, long_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])

local function stored(key, place, number)
  local values = {}
  for name, value in string.gmatch(call('HGET', key, place) or '', '(%S+)=(%d+)') do
    values[name] = tonumber(value)
  end
  -- Another number is that of an interval long ago, or of one that the clock was in before it stepped.
  return values.at == number and values or { at = number }
end

local function put_in(values)
  for i = FIRST, #ARGV, WIDTH do
    local name, value = ARGV[i + 1], tonumber(ARGV[i + 2])
    local before = values[name] or 0
    values[name] = ARGV[i] == 'max' and math.max(before, value) or before + value
  end
end

local function as_text(values)
  local words = {}
  for name, value in pairs(values) do
    words[#words + 1] = string.format('%s=%.0f', name, value)
  end
  return table.concat(words, ' ')
end

local function report(key, ms, places, number, covered)
  local place = number % places
  local values = stored(key, place, number)
  local is_first = values[kind] == nil
  values[kind] = (values[kind] or 0) + covered
  put_in(values)
  call('HSET', key, place, as_text(values))
  call('PEXPIRE', key, ms * places)
  return is_first
end

-- A process reports soon after the end of an interval.
local short = math.floor((NOW - short_ms / 2) / short_ms)
local long = math.floor(short * short_ms / long_ms)
local is_first = report(named('counts:short'), short_ms, tonumber(ARGV[4]), short, 1)
report(named('counts:long'), long_ms, tonumber(ARGV[6]), long, is_first and 1 or 0)
return NOW
