--!use names placement
-- ARGV: prefix, token, ms, then the key of each event.
-- They were not decided in time. They are due again, uncharged, and for so many ms their place
-- shares no claim with another, so that no other waits for the same COMMIT. Returns how many this
-- claim held.
local claim = claim_of(ARGV[2])
local released, freed = 0, {}

write_even_when_full()
for i = 4, #ARGV do
  local key = ARGV[i]
  local place = put_back(claim, key, received_at(key), freed)
  if place then
    call('ZADD', APART, NOW + ARGV[3], place)
    released = released + 1
  end
end
free_places(freed)
if released > 0 then
  close_if_empty(ARGV[2], claim)
end
return released
