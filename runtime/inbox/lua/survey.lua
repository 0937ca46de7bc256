--!use names done_marker lost_accepts
-- ARGV: prefix, a random value for an inbox epoch, how many of the events settled last.
-- Returns the time, the inbox epoch, the number of the newest accept, the copy of the database's
-- epoch (or ''), known losses of accepts (epoch, record, ...), and the events settled last.
write_even_when_full()
local epoch = accepts_compared('', 0, 0, ARGV[2])
return { NOW, epoch, newest_accept(), call('GET', DATABASE_EPOCH) or '',
  call('HGETALL', named('lost:accepts')), call('LRANGE', named('settled'), -ARGV[3], -1) }
