--!use names notes
-- ARGV: prefix, 1 to note how many events wait and have come, so that later calls can tell by how many
-- they grew.
-- Returns now, the waiting events, the bytes that one takes (0 if none waits), the memory in use and
-- its limit (0: none, or not shown), then time and events of the oldest note (0 if there is none, or
-- none that is old enough for a rate).
local SAMPLES, QUEUES = 100, 20
local events = call('ZCARD', INDEX)

local function memory_of(key)
  local bytes = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', SAMPLES)
  return tonumber(bytes) or 0
end

local function share(key, members)
  return members > 0 and memory_of(key) / members or 0
end

-- A queue is a key for each customer: those that have waited longest stand for all.
local function share_of_queue()
  local bytes, queued = 0, 0
  for _, partition in ipairs(call('ZRANGE', READY.live, 0, QUEUES - 1)) do
    local queue = queue_of('live|' .. partition)
    bytes = bytes + memory_of(queue) + share(READY.live, call('ZCARD', READY.live))
    queued = queued + call('ZCARD', queue)
  end
  return queued > 0 and bytes / queued or 0
end

local function bytes_each()
  if events == 0 then
    return 0
  end
  local stored = share(BODY, call('HLEN', BODY)) + share(META, call('HLEN', META))
  return stored + share(INDEX, events) + share_of_queue()
end

local function memory()
  local info = redis.pcall('INFO', 'memory')
  local text = type(info) == 'string' and info or ''
  return string.match(text, '\nused_memory:(%d+)'), string.match(text, '\nmaxmemory:(%d+)')
end

if ARGV[2] == '1' then
  note(SIZES, events)
  note(ARRIVALS, arrived())
end
local used, most = memory()
local noted, size = noted_before(SIZES, GROWTH_NOTED_MS)
return { NOW, events, math.ceil(bytes_each()), tonumber(used or 0), tonumber(most or 0), noted, size }
