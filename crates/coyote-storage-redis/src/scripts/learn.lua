-- The name of the epoch: a secret of 64 characters, a space, and the incarnation in which it began. If there is none, or
-- its incarnation is over, a new one begins. Its time to live starts again.
-- KEYS: the epoch. ARGV: the secret for a new one; the time to live, in milliseconds.
local present = incarnation()
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 66) ~= present then
  epoch = ARGV[1] .. ' ' .. present
end
redis.call('SET', KEYS[1], epoch, 'PX', ARGV[2])
local memory = redis.call('INFO', 'memory')
return { epoch, string.match(memory, 'maxmemory:(%d+)'), string.match(memory, 'maxmemory_policy:([%w-]+)') }
