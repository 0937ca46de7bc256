-- How long each of the last batches took that were settled whole, in microseconds per event. There is
-- a list for each class of batch sizes: a night of single events must not hide what large batches cost.
local KEPT = 32

local function service_of(class)
  return named('service:' .. class)
end

local function note_service(class, micros)
  call('LPUSH', service_of(class), micros)
  call('LTRIM', service_of(class), 0, KEPT - 1)
end
