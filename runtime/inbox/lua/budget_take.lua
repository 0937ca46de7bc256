--!use names budget
-- ARGV: prefix, account, endpoint, a caller that sends many or '', rate, a run's own rate or 0, most
-- requests a second to one endpoint, 'read' or 'write'.
-- Returns the state (0: send after the wait, 1: ask again after it, 2: Stripe limits us), ms to wait,
-- and Stripe's reason.
write_even_when_full()
local endpoint, bulk = 'at:' .. ARGV[3], ARGV[4] ~= ''
-- By caller, so that a slow backfill slows no reconciliation.
local turn = 'bulk:' .. ARGV[4]
local own = tonumber(ARGV[6])

if paused_ms() > 0 then
  return { 2, math.ceil(paused_ms()), call('HGET', BUDGET, 'reason') or '' }
end
if own > tonumber(ARGV[5]) then
  call('HSET', BUDGET, 'raised', ARGV[6])
  note_time('raised_until', now + BUDGET_RAISED_MS)
end

local gap = 1000 / rate_of(tonumber(ARGV[5]), own)
local own_gap = own > 0 and math.max(1000 / own, gap) or gap
local endpoint_gap = math.max(1000 / tonumber(ARGV[7]), gap)
local most = math.max(BUDGET_AHEAD_MS, 2 * gap) + gap

-- What an event or a person waits for is sent before what was booked for later, within bounds.
local function prompt_wait()
  return math.max(time_in('next', most) - now - math.max(BUDGET_AHEAD_MS, 2 * gap), 0)
end

local function bulk_wait()
  local free = math.max(time_in('next', most), time_in(endpoint, most + endpoint_gap))
  return math.max(math.max(free, time_in(turn, most + own_gap)) - now, 0)
end

local wait = bulk and bulk_wait() or prompt_wait()
if not bulk and wait > 0 then
  return { 1, math.ceil(wait), '' }
end
local ahead = math.max(BUDGET_BULK_AHEAD_MS, own_gap)
if bulk and wait > ahead then
  return { 1, math.ceil(wait - ahead), '' }
end

note_time('next', math.max(time_in('next', most), now) + gap)
note_time(endpoint, math.max(time_in(endpoint, most + endpoint_gap), now + wait) + endpoint_gap)
if bulk then
  note_time(turn, now + wait + own_gap)
end
if ARGV[8] == 'read' then
  local day = math.floor(NOW / DAY_LENGTH)
  if call('HINCRBY', SENT, day, 1) == 1 then
    call('SADD', ACCOUNTS, ACCOUNT)
    for _, field in ipairs(call('HKEYS', SENT)) do
      if tonumber(field) <= day - DAYS_KEPT then
        call('HDEL', SENT, field)
      end
    end
  end
end
return { 0, math.ceil(wait), '' }
