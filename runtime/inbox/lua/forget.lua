--!use names
-- ARGV: prefix, keys of second bodies under a known id. Returns how many were kept apart.
-- One that was let in meanwhile stays where it is; only the mark that it is apart goes.
write_even_when_full()
local forgotten = 0
for i = 2, #ARGV do
  local key = ARGV[i]
  forgotten = forgotten + call('HDEL', CONFLICTS, key)
  if not call('ZSCORE', INDEX, key) then
    call('HDEL', BODY, key)
    call('HDEL', META, key)
  end
end
return forgotten
