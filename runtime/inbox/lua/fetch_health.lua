--!use names fetching
-- ARGV: prefix, result of a request to Stripe's API ('ok', 'failed', 'rest'), reason, ms of rest.
-- Returns 1 if this call opened the breaker.
write_even_when_full()
if ARGV[2] == 'ok' then
  call('HSET', FETCH_HEALTH, 'failures', 0, 'succeeded_at', NOW)
  call('DEL', FETCH_BREAKER)
  return 0
end
local rest = tonumber(ARGV[4])
if ARGV[2] == 'failed' then
  local failures = call('HINCRBY', FETCH_HEALTH, 'failures', 1)
  if failures < FAILURES_TO_OPEN then
    return 0
  end
  local doublings = math.min(failures - FAILURES_TO_OPEN, 10)
  rest = math.min(MIN_FETCH_REST_MS * 2 ^ doublings, MAX_FETCH_REST_MS)
end
local opened = call('EXISTS', FETCH_BREAKER) == 0
call('SET', FETCH_BREAKER, ARGV[3], 'PX', string.format('%.0f', rest))
return opened and 1 or 0
