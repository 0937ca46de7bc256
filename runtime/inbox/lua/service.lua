-- How long the last batches took that were settled whole: "events microseconds bytes ms" of each,
-- with the time of its end. There is a list for each class of sizes: a night of single events must not hide what
-- large batches cost.
local KEPT = 32

local function service_of(class)
  return named('service:' .. class)
end

local function note_service(class, time)
  call('LPUSH', service_of(class), time .. ' ' .. string.format('%.0f', NOW))
  call('LTRIM', service_of(class), 0, KEPT - 1)
end
