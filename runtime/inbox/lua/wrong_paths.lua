--!use names
-- ARGV: prefix, ms to keep a path, most paths, then path and deliveries in turn.
-- Each field is a path, its value the number of deliveries and the times of the first and the last.
local WRONG_PATHS = named('wrong_paths')
local keep, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local known, size = {}, 0
local fields = call('HGETALL', WRONG_PATHS)
for i = 1, #fields, 2 do
  local count, first, last = string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
  if count and tonumber(last) > NOW - keep then
    known[fields[i]] = { count = tonumber(count), first = first, last = last }
    size = size + 1
  else
    call('HDEL', WRONG_PATHS, fields[i])
  end
end

-- A flood of made-up paths must not push out the path that is used again and again.
local function drop_rarest()
  local rarest
  for path, seen in pairs(known) do
    local worst = rarest and known[rarest]
    if not worst or seen.count < worst.count
      or (seen.count == worst.count and tonumber(seen.last) < tonumber(worst.last)) then
      rarest = path
    end
  end
  known[rarest] = nil
  size = size - 1
  call('HDEL', WRONG_PATHS, rarest)
end

local now = string.format('%.0f', NOW)
for i = 4, #ARGV, 2 do
  local path = ARGV[i]
  if not known[path] and size >= most then
    drop_rarest()
  end
  local seen = known[path]
  if not seen then
    seen = { count = 0, first = now }
    known[path] = seen
    size = size + 1
  end
  seen.count = seen.count + tonumber(ARGV[i + 1])
  seen.last = now
  call('HSET', WRONG_PATHS, path, string.format('%.0f', seen.count) .. ' ' .. seen.first .. ' ' .. now)
end
call('PEXPIRE', WRONG_PATHS, keep)
return size
