-- What went wrong with an event so far. Events that never failed have none.
local function history_of(text)
  return text and cjson.decode(text) or { attempts = 0, crashes = 0 }
end

local function is_suspect(text)
  return text and cjson.decode(text).suspect == true
end

local function amend(key, change)
  local history = history_of(call('HGET', HISTORY, key))
  change(history)
  call('HSET', HISTORY, key, cjson.encode(history))
end
