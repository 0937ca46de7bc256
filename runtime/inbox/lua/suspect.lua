--!use names placement history
-- ARGV: prefix, token, then the key of each event.
-- Their batch failed before each was tried by itself. They are due as before, uncharged, and each is
-- claimed alone. Returns how many this claim held.
local claim = claim_of(ARGV[2])
local suspected, freed = 0, {}

write_even_when_full()
for i = 3, #ARGV do
  local key = ARGV[i]
  if put_back(claim, key, received_at(key), freed) then
    amend(key, function(history)
      history.suspect = true
    end)
    suspected = suspected + 1
  end
end
free_places(freed)
if suspected > 0 then
  close_if_empty(ARGV[2], claim)
end
return suspected
