--!use names wakes placement history claim_common fetching
-- ARGV: as for claim.lua up to the tenth, then how many may fetch at the same time.
-- Claims one event that waits for Stripe's API. Answers as claim.lua does.
local most = tonumber(ARGV[11])

write_even_when_full()
call('ZREM', FETCHERS, token)
call('ZREM', FETCH_WAKES, ARGV[3])
call('HSET', FETCH_HEALTH, 'asked_at', NOW)
release(token, claim)
if not may_fetch() then
  return { 1, '' }
end
if fetchers() >= max_fetchers(most) then
  return { 0, '' }
end
take_from_lane('fetch')
if #entries == 0 then
  return { 0, '' }
end
note_claim()
call('ZADD', FETCHERS, NOW + registration, token)
return answer(owe_fetcher(most, ARGV[4]))
