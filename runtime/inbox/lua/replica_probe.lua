--!use names
-- ARGV: prefix. Writes, so that the WAITAOF sent with it has something to wait for.
write_even_when_full()
return call('HINCRBY', COUNTERS, 'replica_probes', 1)
