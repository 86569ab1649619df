-- Replaces a value, if it is still what it was thought to be: answers nothing if so, and else what it is. No value is ''.
-- KEYS: the value. ARGV: what it was; what it is to be; its time to live, in milliseconds.
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then
  return current
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false
