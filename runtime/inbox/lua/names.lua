-- Every key starts with the prefix. The keys that a script touches follow from what it reads, so no
-- caller can declare them in KEYS.
local PREFIX = ARGV[1]

local function named(name)
  return PREFIX .. name
end

local META, BODY, HISTORY = named('event:meta'), named('event:body'), named('history')
local INDEX, PARKED, UNKNOWN = named('index'), named('parked'), named('unknown')
local HELD, CLAIMS, CONFLICTS = named('held'), named('claims'), named('conflicts')
local DRAINERS, WORKERS, BREAKER = named('drainers'), named('workers'), named('breaker')
-- Places whose party was locked, with the end of their rest.
local RESTING = named('resting')
-- Places whose events are slow to decide, with the time until which they are claimed apart.
local APART = named('apart')
local COUNTERS, LEADER = named('counters'), named('sweeper')
local FETCHERS, PARKED_FETCH = named('fetchers'), named('parked:fetch')
local READY =
  { live = named('ready:live'), replay = named('ready:replay'), fetch = named('ready:fetch') }
-- Most events are in lane live, so only the other lanes have an index of their own.
local LANE_INDEX = { replay = named('index:replay'), fetch = named('index:fetch') }

local call = redis.call
-- The clock of Redis is the only one that all processes share.
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function queue_of(place)
  return named('queue:' .. place)
end

local function done_marker_of(key)
  return named('done:' .. key)
end

local function claim_of(token)
  return named('claim:' .. token)
end

-- A full server refuses a script only before its first write, and never a removal. A script that
-- frees memory or ends a claim starts with one, and then runs to its end.
local function write_even_when_full()
  call('ZREM', DRAINERS, '')
end
