--!use names lost_accepts
-- ARGV: prefix, inbox epoch and highest accept that another place remembers, how many accepts Redis
-- counted in that epoch when this showed a loss, a random value for a new epoch.
-- Notes the loss, unless it is known, and returns its record.
write_even_when_full()
accepts_compared(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5])
return call('HGET', named('lost:accepts'), ARGV[2])
