--!use names placement recent
-- ARGV: prefix, how many bytes the bodies of settled events may take, how many old ones to drop at most.
-- Returns how many it dropped. Unlike confirm.lua it needs no answer of the database.
write_even_when_full()
call('HSET', SETTLED_STATE, 'most_bytes', ARGV[2])
most_bytes = tonumber(ARGV[2])
return drop_bodies(tonumber(ARGV[3]))
