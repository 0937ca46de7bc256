-- The failures of an event so far. An event that never failed has no history.
local function history_of(text)
  -- An unreadable history must not stop all claims.
  local read, history = pcall(cjson.decode, text or '')
  history = read and type(history) == 'table' and history or {}
  history.attempts = tonumber(history.attempts) or 0
  history.crashes = tonumber(history.crashes) or 0
  return history
end

local function is_suspect(text)
  return text and history_of(text).suspect == true
end

local function amend(key, change)
  local history = history_of(call('HGET', HISTORY, key))
  change(history)
  call('HSET', HISTORY, key, cjson.encode(history))
end
