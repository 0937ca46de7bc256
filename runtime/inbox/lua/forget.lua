--!use names
-- ARGV: prefix, keys of conflicts. Returns how many were conflicts.
-- One that was requeued meanwhile stays in the inbox and only stops being a conflict.
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
