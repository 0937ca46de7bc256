-- Every script gets the fixed keys first, in the order of scripts.py; its own keys follow.
local META, BODY, INDEX, HELD, CLAIMS, HISTORY, PARKED, UNKNOWN, DRAINERS, WORKERS, BREAKER,
    SETTLEMENT, CONFLICTS, COUNTERS = unpack(KEYS, 1, 14)
local READY = { live = KEYS[15], replay = KEYS[16], fetch = KEYS[17] }
-- Most events are in lane live, so only the other lanes have an index of their own.
local LANE_INDEX = { replay = KEYS[18], fetch = KEYS[19] }
-- Queues, claims and done markers are named by what a script reads, so no caller can pass them.
local PREFIX = ARGV[1]

local call = redis.call
-- Redis' clock is the only one that all processes share.
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function queue_of(place)
  return PREFIX .. 'queue:' .. place
end

local function claim_of(token)
  return PREFIX .. 'claim:' .. token
end

-- A full server refuses a script only before its first write. Starting with a removal lets
-- everything that makes room, or keeps a promise, run to its end there.
local function write_even_when_full()
  call('ZREM', DRAINERS, '')
end
