-- Decide when a Celery message is owed. A registration in DRAINERS is a worker that drains, or a
-- message on its way to one. Both expire, so a lost message delays nothing for long.
local FULL_BATCH = 200

local function announced_processes()
  local sum = 0
  local announced = call('HGETALL', WORKERS)
  for i = 2, #announced, 2 do
    local processes, expiry = string.match(announced[i], '^(%d+) (%d+)$')
    if processes and tonumber(expiry) > NOW then
      sum = sum + processes
    end
  end
  return sum
end

-- At least 1: a worker that has not announced itself yet is woken, too.
local function worker_processes()
  return math.max(announced_processes(), 1)
end

local function oldest_due()
  local oldest = nil
  for _, lane in ipairs({ 'live', 'replay' }) do
    local head = call('ZRANGE', READY[lane], 0, 0, 'WITHSCORES')
    local due = tonumber(head[2])
    if due and due <= NOW and (not oldest or due < oldest) then
      oldest = due
    end
  end
  return oldest
end

local function drainers()
  return call('ZCOUNT', DRAINERS, '(' .. NOW, '+inf')
end

-- Counts partitions, not events: no other drainer can take the events of a held partition.
local function more_than(capacity)
  local due = call('ZCOUNT', READY.live, '-inf', NOW) + call('ZCOUNT', READY.replay, '-inf', NOW)
  return due > capacity
end

local function wake_is_owed()
  local awake = drainers()
  if awake > 0 and awake >= worker_processes() then
    return false -- first, because it decides for nearly every event of a burst
  end
  local oldest = oldest_due()
  if not oldest or call('EXISTS', BREAKER) == 1 then
    return false
  end
  return awake == 0 or NOW - oldest > LONGEST_WAIT_MS or more_than(awake * FULL_BATCH)
end

-- Registers the message before it is sent, so that a burst sends only one.
local function owe(token)
  call('ZADD', DRAINERS, NOW + WAKE_MESSAGE_MS, token)
  return token
end

local function wake_if_owed(token)
  return wake_is_owed() and owe(token) or ''
end
