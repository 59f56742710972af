"""What the server runs in one step: the Lua scripts of `RedisStore`."""

from __future__ import annotations

READ_LEASES = """
local live = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local lease = redis.call('GET', ARGV[1] .. id)
  if lease then live[#live + 1] = lease else redis.call('SREM', KEYS[1], id) end
end
return live
"""

REPLICA_NUMBER = """
local number = redis.call('HGET', KEYS[1], 'i:' .. ARGV[1])
if number then return tonumber(number) end
number = redis.call('HINCRBY', KEYS[1], 'next', 1) - 1
redis.call('HSET', KEYS[1], 'i:' .. ARGV[1], number)
local kept = tonumber(ARGV[2])
if redis.call('HLEN', KEYS[1]) > 2 * kept then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if all[i] ~= 'next' and tonumber(all[i + 1]) <= number - kept then
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
return number
"""

CREATE_STATE = """
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])
"""

# Already being there counts as replaced: the client repeats a script whose answer was lost.
REPLACE_STATE = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now == ARGV[3] then return 1 end
if now ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
