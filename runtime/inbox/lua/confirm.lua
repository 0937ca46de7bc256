--!use names placement done_marker recent
-- ARGV: prefix, the database's epoch, ms at which the database was known to have the newest settled
-- events, how many bytes the bodies of such events may take, how many old ones to drop.
-- Returns how many it dropped.
write_even_when_full()
call('SET', DATABASE_EPOCH, ARGV[2])
call('HSET', SETTLED_STATE, 'confirmed', ARGV[3], 'most_bytes', ARGV[4])
confirmed, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
return drop_settled(tonumber(ARGV[5])) + drop_bodies(tonumber(ARGV[5]))
