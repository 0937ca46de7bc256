-- Each accept has a number, which is the count of all so far. Redis that gave a number and now counts
-- less went back: accepts are lost. So did one whose data set is another. The hash keeps, under
-- the epoch that ended, "ms first last state": when it was noticed, the numbers that are lost (first
-- is 0 if it is unknown), and "open" or "closed". It also tells a loss that is known from a new one.
local INBOX_EPOCH = named('epoch')

local function newest_accept()
  return tonumber(call('HGET', COUNTERS, 'accepted') or 0)
end

-- Returns 1 if this loss was not known. A process that was given a higher number adds to it.
local function note_lost(epoch, first, last)
  local losses = named('lost:accepts')
  local known = call('HGET', losses, epoch)
  local at, from, to, state = string.match(known or '', '^(%d+) (%d+) (%d+) (%l+)$')
  if not to or last > tonumber(to) then
    local record = { at or NOW, from or first, last }
    call('HSET', losses, epoch, string.format('%.0f %.0f %.0f ', unpack(record)) .. (state or 'open'))
  end
  return known and 0 or 1
end

-- Compares what a process was given ('' and 0 at its start) with the number of accepts that are
-- counted. new_epoch is a random value in case one is needed. Returns the inbox epoch, and 1 if a loss
-- was noticed that was not known.
local function accepts_compared(given_epoch, highest, counted, new_epoch)
  local epoch = call('GET', INBOX_EPOCH)
  local went_back = epoch and epoch == given_epoch and counted < highest
  if not epoch or went_back then
    call('SET', INBOX_EPOCH, new_epoch)
  end
  if went_back then
    return new_epoch, note_lost(given_epoch, counted + 1, highest)
  end
  if given_epoch ~= '' and given_epoch ~= epoch then
    return epoch or new_epoch, note_lost(given_epoch, 0, highest)
  end
  return epoch or new_epoch, 0
end
