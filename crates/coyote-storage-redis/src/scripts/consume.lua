-- Marks a nonce as used: 1 if it was not, 0 if it was, -1 if its epoch is over.
-- KEYS: the epoch; the mark. ARGV: the name of the nonce's epoch; the mark's time to live, in milliseconds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or string.sub(ARGV[1], 66) ~= incarnation() then
  return -1
end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
