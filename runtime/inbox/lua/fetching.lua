-- The limit, the breaker and the wake-ups of the fetch lane. Its breaker is not that of the
-- database, and drainers of the other lanes never read it.
local FETCH_WAKES = named('fetch:wakes')
local FETCH_BREAKER, FETCH_HEALTH = named('breaker:fetch'), named('fetch:health')
local FAILURES_TO_OPEN = 3

local function fetch_failures()
  return tonumber(call('HGET', FETCH_HEALTH, 'failures') or 0)
end

local function may_fetch()
  return call('EXISTS', BREAKER) == 0 and call('EXISTS', FETCH_BREAKER) == 0
end

-- After a pause one event is tried before the others.
local function max_fetchers(most)
  return fetch_failures() >= FAILURES_TO_OPEN and 1 or most
end

local function fetchers()
  return call('ZCOUNT', FETCHERS, '(' .. NOW, '+inf')
end

-- Registers the message before it is sent, as for drainers. A registered message blocks no claim.
local function owe_fetcher(most, token)
  local due = call('ZCOUNT', READY.fetch, '-inf', NOW)
  local coming = call('ZCOUNT', FETCH_WAKES, '(' .. NOW, '+inf')
  if coming >= due or fetchers() + coming >= max_fetchers(most) or not may_fetch() then
    return ''
  end
  call('ZADD', FETCH_WAKES, NOW + WAKE_MESSAGE_MS, token)
  return token
end
