--!use names wakes placement fetching
-- ARGV: prefix, token, how many may fetch at the same time, token for a wake-up ('' for none).
-- Gives back what the claim still holds and ends the registration. Returns the wake-up owed, or ''.
write_even_when_full()
give_back(ARGV[2], claim_of(ARGV[2]))
call('ZREM', FETCHERS, ARGV[2])
call('ZREM', FETCH_WAKES, ARGV[2])
return ARGV[4] ~= '' and owe_fetcher(tonumber(ARGV[3]), ARGV[4]) or ''
