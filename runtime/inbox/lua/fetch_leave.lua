--!use names wakes placement fetching
-- ARGV: prefix, token, how many may fetch at the same time, token for a wake-up ('' for none).
-- Releases the rest of the claim and ends the registration. Returns the wake-up owed, or ''.
write_even_when_full()
release(ARGV[2], claim_of(ARGV[2]))
call('ZREM', FETCHERS, ARGV[2])
call('ZREM', FETCH_WAKES, ARGV[2])
return ARGV[4] ~= '' and owe_fetcher(tonumber(ARGV[3]), ARGV[4]) or ''
