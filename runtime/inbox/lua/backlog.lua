--!use names wakes fetching notes service
-- ARGV: prefix, then each class of batch sizes whose service times are known.
-- Reads only. Returns now, then: events, oldest received, claimed, parked, replay, fetch, oldest
-- due and unclaimed, drainers, worker processes, unknown versions, conflicts,
-- breaker's since and reason, breaker's ms left, supervisors, claimed and parked in lane fetch, its
-- breaker's reason and ms left, time and number of the note of what had come some seconds ago, what has
-- come until now, when an event was settled last (or ''), the times of batches of each class as a list;
-- then the counters.
local claimed, claimed_fetch = 0, 0
for _, token in ipairs(call('ZRANGE', CLAIMS, 0, -1)) do
  for _, count in ipairs(call('HVALS', claim_of(token))) do
    -- Values of e: fields are places, which have a bar; numbers are not counted.
    claimed = claimed + (string.find(count, '|', 1, true) and 1 or 0)
    claimed_fetch = claimed_fetch + (string.find(count, 'fetch|', 1, true) == 1 and 1 or 0)
  end
end
-- An event from the future (the clock stepped back) has waited for an unknown time. It counts as if
-- it had waited as long as it lies ahead, so that it never looks new.
local oldest = call('ZRANGE', INDEX, 0, 0, 'WITHSCORES')[2] or ''
local newest = call('ZREVRANGE', INDEX, 0, 0, 'WITHSCORES')[2]
if newest and tonumber(newest) > NOW then
  oldest = math.min(tonumber(oldest), NOW - (tonumber(newest) - NOW))
end
local noted_at, noted = noted_before(ARRIVALS, ARRIVAL_SPAN_MS, true)
local service = {}
for i = 2, #ARGV do
  service[#service + 1] = call('LRANGE', service_of(ARGV[i]), 0, -1)
end
local reply = {
  NOW, call('ZCARD', INDEX), oldest, claimed, call('ZCOUNT', PARKED, '(' .. NOW, '+inf'),
  call('ZCARD', LANE_INDEX.replay), call('ZCARD', LANE_INDEX.fetch), oldest_due() or '',
  drainers(), announced_processes(), call('ZCARD', UNKNOWN), call('HLEN', CONFLICTS),
  call('GET', BREAKER) or '', call('PTTL', BREAKER),
  call('HLEN', WORKERS), claimed_fetch, call('ZCOUNT', PARKED_FETCH, '(' .. NOW, '+inf'),
  call('GET', FETCH_BREAKER) or '', call('PTTL', FETCH_BREAKER), noted_at, noted, arrived(),
  string.match(call('LINDEX', named('settled'), -1) or '', '^%d+') or '', service,
}
for _, value in ipairs(call('HGETALL', COUNTERS)) do
  reply[#reply + 1] = value
end
return reply
