--!use names placement recent
-- ARGV: prefix, how many bodies of settled events to give up at most, the oldest first.
-- Returns how many it gave up.
write_even_when_full()
most_bytes = -1
return drop_bodies(tonumber(ARGV[2]))
