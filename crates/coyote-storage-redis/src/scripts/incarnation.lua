-- Which process this is, as the master of which history, and how often it has thrown keys away for want of memory: what a
-- used nonce could be forgotten by changes it. The process changes with each start, the history with each promotion.
local function incarnation()
  local function told(section, pattern)
    local value = string.match(redis.call('INFO', section), pattern)
    if not value then error('INFO ' .. section .. ' does not tell ' .. pattern) end
    return value
  end
  return told('server', 'run_id:(%x+)')
    .. ' ' .. told('replication', 'master_replid:(%x+)')
    .. ' ' .. told('stats', 'evicted_keys:(%d+)')
end
