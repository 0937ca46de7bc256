--!use names budget
-- ARGV: prefix, account, caller, result, ms of pause or 0, Stripe's reason for it.
-- Requests that were under way together get a 429 each, and count as one.
write_even_when_full()
call('HINCRBY', RESULTS, ARGV[3] .. ':' .. ARGV[4], 1)
local pause = math.min(tonumber(ARGV[5]), MAX_FETCH_REST_MS)
if pause == 0 then
  return
end
if paused_ms() <= 0 then
  call('HSET', BUDGET, 'slowed', math.min(halvings() + 1, MAX_SLOWED))
end
note_time('limited_at', now)
note_time('paused_until', now + math.max(pause, paused_ms()))
call('HSET', BUDGET, 'reason', ARGV[6])
