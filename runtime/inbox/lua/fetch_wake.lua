--!use names fetching
-- ARGV: prefix, how many may fetch at the same time, token for a wake-up.
-- Returns the wake-up owed, or ''.
write_even_when_full()
call('ZREMRANGEBYSCORE', FETCHERS, '-inf', NOW)
call('ZREMRANGEBYSCORE', FETCH_WAKES, '-inf', NOW)
return owe_fetcher(tonumber(ARGV[2]), ARGV[3])
