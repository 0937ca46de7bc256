--!use names wakes store
-- ARGV: prefix, key, lane, partition, meta, body, token for a wake-up.
-- Stores an event that was settled or dead-lettered again. A pending one stays as it is.
local event =
  { key = ARGV[2], lane = ARGV[3], partition = ARGV[4], meta = ARGV[5], body = ARGV[6] }
if is_pending(event.key) then
  return { 'duplicate', '', '' }
end
store(event)
call('HINCRBY', COUNTERS, 'readmitted', 1)
return { 'accepted', wake_if_owed(ARGV[7]), '' }
