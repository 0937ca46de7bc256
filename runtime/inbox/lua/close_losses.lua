--!use names
-- ARGV: prefix. Marks every known loss of accepts as closed. Returns how many were open.
write_even_when_full()
local name = named('lost:accepts')
local closed, losses = 0, call('HGETALL', name)
for i = 1, #losses, 2 do
  local record, open = string.gsub(losses[i + 1], 'open$', 'closed')
  if open > 0 then
    call('HSET', name, losses[i], record)
    closed = closed + 1
  end
end
return closed
