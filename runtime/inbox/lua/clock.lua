-- Redis' clock may step back. Times that were written before then lie ahead, and what waits for them
-- would wait as long as the step. No time here can be further ahead than its own span.
local CLOCK = named('clock')

-- The latest acceptance, or the last sweep, whichever is later. Neither can be in the future.
local function latest_past()
  local accepted = call('ZREVRANGE', INDEX, 0, 0, 'WITHSCORES')[2]
  return math.max(tonumber(accepted or 0), tonumber(call('GET', CLOCK) or 0))
end

local function clock_stepped_back()
  return latest_past() > NOW + CLOCK_SLACK_MS
end

local function note_clock()
  call('SET', CLOCK, string.format('%.0f', NOW))
end

local function clamp_scores(name, span)
  local most = NOW + span
  for _, member in ipairs(call('ZRANGEBYSCORE', name, '(' .. (most + CLOCK_SLACK_MS), '+inf')) do
    call('ZADD', name, most, member)
  end
end

local function clamp_announcements(span)
  local announced = call('HGETALL', WORKERS)
  for i = 1, #announced, 2 do
    local processes, expiry = string.match(announced[i + 1], '^(%d+) (%d+)$')
    if processes and tonumber(expiry) > NOW + span + CLOCK_SLACK_MS then
      call('HSET', WORKERS, announced[i], processes .. ' ' .. string.format('%.0f', NOW + span))
    end
  end
end

local function clamp_expiry(name, span)
  if call('PTTL', name) > span + CLOCK_SLACK_MS then
    call('PEXPIRE', name, span)
  end
end

-- What is held for a span of time is held no longer than that from now on.
local function clamp_leases(lease, registration, announcement)
  clamp_scores(CLAIMS, lease)
  clamp_scores(DRAINERS, registration)
  clamp_scores(FETCHERS, registration)
  clamp_scores(FETCH_WAKES, registration)
  clamp_announcements(announcement)
  clamp_expiry(BREAKER, MAX_BREAKER_MS)
  clamp_expiry(FETCH_BREAKER, MAX_FETCH_REST_MS)
end
