-- The requests that all processes send to Stripe for one account and mode. Each request books the
-- next free time; the distance between two is the rate. Stripe answers a burst with a 429, so none
-- is allowed.
local ACCOUNT = ARGV[2]
local BUDGET, SENT = named('stripe:budget:' .. ACCOUNT), named('stripe:sent:' .. ACCOUNT)
local ACCOUNTS, RESULTS = named('stripe:accounts'), named('stripe:results')
local MAX_SLOWED, DAY_LENGTH, DAYS_KEPT = 3, 86400000, 31

-- With its fraction: at 25 requests a second, whole milliseconds would lose one in a hundred.
local now = clock[1] * 1000 + clock[2] / 1000

local function number_in(field)
  return tonumber(call('HGET', BUDGET, field) or 0)
end

local function note_time(field, at)
  call('HSET', BUDGET, field, string.format('%.3f', at))
end

-- The clock may step back, and what was booked before then would wait as long as the step.
local function time_in(field, most)
  return math.min(number_in(field), now + most)
end

local function paused_ms()
  return time_in('paused_until', MAX_FETCH_REST_MS) - now
end

-- Each 429 halves the rate, at most three times; each minute without one doubles it again.
local function halvings()
  local quiet = now - number_in('limited_at')
  if quiet < -CLOCK_SLACK_MS then
    return 0
  end
  return math.max(number_in('slowed') - math.floor(quiet / BUDGET_SLOWED_MS), 0)
end

local function rate_of(base, own)
  local rate = base
  if time_in('raised_until', BUDGET_RAISED_MS) > now then
    rate = math.max(rate, number_in('raised'))
  end
  return math.max(rate, own) / 2 ^ halvings()
end
