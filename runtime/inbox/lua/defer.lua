--!use names wakes placement done_marker fetching
-- ARGV: prefix, token, marker ms, how many may fetch at the same time, token for a wake-up, then
-- for each event: key, marker ('' where nothing of it is settled yet).
-- Moves these events, if this claim still holds them, to the fetch lane. Returns how many, and the
-- wake-up owed, or ''.
local claim = claim_of(ARGV[2])
local freed, deferred = {}, 0

write_even_when_full()
for i = 6, #ARGV, 2 do
  local key, marker = ARGV[i], ARGV[i + 1]
  if put_back(claim, key, NOW, freed, 'fetch') then
    -- Its earlier failures say nothing about the request to Stripe's API.
    call('HDEL', HISTORY, key)
    if marker ~= '' then
      mark_done(key, marker, ARGV[3])
    end
    deferred = deferred + 1
  end
end
free_places(freed)
if deferred > 0 then
  call('HINCRBY', COUNTERS, 'deferred', deferred)
  close_if_empty(ARGV[2], claim)
end
return { deferred, owe_fetcher(tonumber(ARGV[4]), ARGV[5]) }
