-- A done marker answers the duplicates of a settled event. It carries the epoch of the database that
-- settled the event: one of another epoch may stand for a settlement that was lost, and is void.
local DATABASE_EPOCH = named('database:epoch')
local epoch_is_known = false

local function epoch_in(marker)
  return string.match(marker, '^{"fp":"%x*","epoch":"([^"]*)"') or ''
end

local function valid_marker(key)
  local marker = call('GET', done_marker_of(key))
  return marker and epoch_in(marker) == (call('GET', DATABASE_EPOCH) or '') and marker
end

-- Only the first marker brings the epoch: the supervisor that leads keeps the copy from then on.
local function mark_done(key, marker, ms)
  call('SET', done_marker_of(key), marker, 'PX', ms)
  if not epoch_is_known then
    call('SET', DATABASE_EPOCH, epoch_in(marker), 'NX')
    epoch_is_known = true
  end
end
