"""What the server runs in one step: the Lua scripts of `RedisStore` and `RedisSelectionStore`."""

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

# A batch of feedback on one registration. After the limits, three elements of ARGV are one write:
# digest of its idempotency key, log entry, and in MessagePack whether there is an entry and the
# updates of states. (MessagePack's byte strings are unknown to the server's decoder.)
#
# Nothing here asks what time it is: a set of digests is in use for one window, and is looked into
# for one more under another name, by its own expiry. Frontends' clocks may disagree.
#
# False: the registration is deleted.
WRITE_FEEDBACK = """
local own_key, users_key, log_key, seen_key, seen_before_key = unpack(KEYS, 1, 5)
local again_key, gone_key, generations_key = unpack(KEYS, 6, 8)
local generation, user_prefix = ARGV[1], ARGV[2]
local window_ms, state_ttl_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local max_users, log_length = tonumber(ARGV[5]), ARGV[6]
local first_write = 7
local largest_double = 1.7976931348623157e308

-- Servers before Redis 7 would otherwise repeat the script and not its effects.
if redis.replicate_commands then redis.replicate_commands() end
if redis.call('EXISTS', gone_key) == 1 then return false end

local seen_ttl_ms = redis.call('PTTL', seen_key)
if seen_ttl_ms >= 0 and seen_ttl_ms <= window_ms then
  redis.call('RENAME', seen_key, seen_before_key)
  seen_ttl_ms = -2
end

local function is_new(digest)
  if redis.call('SISMEMBER', seen_before_key, digest) == 1 then return false end
  if redis.call('SADD', seen_key, digest) == 0 then return false end
  if seen_ttl_ms < 0 then
    redis.call('PEXPIRE', seen_key, 2 * window_ms)
    seen_ttl_ms = 2 * window_ms
  end
  return true
end

local states, touched = {}, {}

local function read(uid)
  if states[uid] then return states[uid] end
  local state = {key = own_key, version = 0, values = {}, changed = {}}
  if uid ~= '' then state.key = user_prefix .. uid end
  local raw = redis.call('HGETALL', state.key)
  for i = 1, #raw, 2 do
    if raw[i] == '' then state.version = tonumber(raw[i + 1])
    else state.values[raw[i]] = tonumber(raw[i + 1]) end
  end
  states[uid] = state
  touched[#touched + 1] = uid
  return state
end

local function put(state, field, value)
  state.values[field] = math.max(-largest_double, math.min(largest_double, value))
  state.changed[field] = true
end

local function clamp(state, kind, depth)
  local prefix = kind .. '/'
  local floor = -largest_double
  for field, value in pairs(state.values) do
    if string.sub(field, 1, #prefix) == prefix then floor = math.max(floor, value - depth) end
  end
  for field, value in pairs(state.values) do
    if value < floor and string.sub(field, 1, #prefix) == prefix then put(state, field, floor) end
  end
end

local function apply(update)
  local uid, increments, floor, seed = unpack(update, 1, 4)
  local state = read(uid)
  if state.version == 0 then
    for field, value in pairs(seed) do put(state, field, value) end
  end
  for _, increment in ipairs(increments) do
    local field, amount, start = unpack(increment, 1, 3)
    put(state, field, (state.values[field] or start) + amount)
  end
  if floor then clamp(state, floor[1], floor[2]) end
  state.version = state.version + 1
end

local function store(state)
  local words = {'', string.format('%.17g', state.version)}
  for field in pairs(state.changed) do
    words[#words + 1] = field
    words[#words + 1] = string.format('%.17g', state.values[field])
    if #words >= 1000 then
      redis.call('HSET', state.key, unpack(words))
      words = {}
    end
  end
  if #words > 0 then redis.call('HSET', state.key, unpack(words)) end
end

local answers, any_new = {}, false
for i = first_write, #ARGV, 3 do
  local digest, entry = ARGV[i], ARGV[i + 1]
  local has_entry, updates = unpack(cmsgpack.unpack(ARGV[i + 2]))
  answers[#answers + 1] = 0
  if is_new(digest) then
    answers[#answers] = 1
    any_new = true
    for _, update in ipairs(updates) do apply(update) end
    if has_entry then redis.call('XADD', log_key, 'MAXLEN', '~', log_length, '*', 'e', entry) end
  end
end
if not any_new then
  -- WAITAOF waits for what this connection wrote; the first attempt was perhaps another's.
  redis.call('SET', again_key, '', 'PX', 1)
  return answers
end

redis.call('SADD', generations_key, generation)
local newest = redis.call('ZREVRANGE', users_key, 0, 0, 'WITHSCORES')
local rank = tonumber(newest[2] or 0)
for _, uid in ipairs(touched) do
  store(states[uid])
  if uid ~= '' then
    rank = rank + 1
    redis.call('ZADD', users_key, string.format('%.17g', rank), uid)
    redis.call('PEXPIRE', states[uid].key, state_ttl_ms)
  end
end
redis.call('PEXPIRE', users_key, state_ttl_ms)
local excess = math.min(redis.call('ZCARD', users_key) - max_users, 1000)
if excess > 0 then
  for _, uid in ipairs(redis.call('ZRANGE', users_key, 0, excess - 1)) do
    redis.call('UNLINK', user_prefix .. uid)
  end
  redis.call('ZREMRANGEBYRANK', users_key, 0, excess - 1)
end
return answers
"""

# All selection data of an application, whatever its registration, but for users' states. What a
# worker that has not heard of the deletion still sends is refused.
DELETE_SELECTION = """
local generations_key, slices_key = KEYS[1], KEYS[2]
local app, prefix, gone_ttl_ms = unpack(ARGV, 1, 3)
local first_generation = 4
for i = first_generation, #ARGV do redis.call('SADD', generations_key, ARGV[i]) end
for _, generation in ipairs(redis.call('SMEMBERS', generations_key)) do
  local function part(name)
    return prefix .. 'selection:' .. generation .. ':' .. name .. ':' .. app
  end
  redis.call('UNLINK', part('state'), part('log'), part('seen'), part('seen_before'))
  redis.call('SET', part('gone'), '', 'PX', gone_ttl_ms)
end
for _, slice in ipairs(redis.call('LRANGE', slices_key, 0, -1)) do
  redis.call('UNLINK', prefix .. 'choices:' .. slice .. ':' .. app)
end
redis.call('UNLINK', slices_key)
"""

# States of some users of deleted registrations; 1 while there may be more. A hundred thousand at
# once would keep everybody else waiting for half a second.
DELETE_USERS = """
local generations_key = KEYS[1]
local app, prefix = ARGV[1], ARGV[2]
for _, generation in ipairs(redis.call('SMEMBERS', generations_key)) do
  local function part(name)
    return prefix .. 'selection:' .. generation .. ':' .. name .. ':' .. app
  end
  if redis.call('EXISTS', part('gone')) == 1 then
    local users = redis.call('ZRANGE', part('users'), 0, 999)
    if #users > 0 then
      local keys = {}
      for i, uid in ipairs(users) do keys[i] = part('user') .. ':' .. uid end
      redis.call('UNLINK', unpack(keys))
      redis.call('ZREMRANGEBYRANK', part('users'), 0, #users - 1)
      return 1
    end
    redis.call('SREM', generations_key, generation)
  end
end
return 0
"""

# Choices are kept in slices, each of which is filled for a part of the time to live and then waits
# for its expiry. A slice that is full before its time pushes out the oldest.
WRITE_CHOICES = """
local slices_key = KEYS[1]
local app, prefix = ARGV[1], ARGV[2]
local ttl_ms, slice_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local slice_length, slices = tonumber(ARGV[5]), tonumber(ARGV[6])
local first_choice = 7

if redis.replicate_commands then redis.replicate_commands() end
local function key(slice) return prefix .. slice .. ':' .. app end

local slice = redis.call('LINDEX', slices_key, 0)
local left_ms = slice and redis.call('PTTL', key(slice)) or -2
if left_ms <= ttl_ms or redis.call('HLEN', key(slice)) >= slice_length then
  slice = string.format('%d', (tonumber(slice or 0) + 1) % 1e9)
  redis.call('LPUSH', slices_key, slice)
  redis.call('UNLINK', key(slice))
  while redis.call('LLEN', slices_key) > slices do
    redis.call('UNLINK', key(redis.call('RPOP', slices_key)))
  end
  left_ms = -2
end
redis.call('HSET', key(slice), unpack(ARGV, first_choice))
if left_ms < 0 then redis.call('PEXPIRE', key(slice), ttl_ms + slice_ms) end
redis.call('PEXPIRE', slices_key, ttl_ms + slice_ms)
"""

READ_CHOICES = """
local app, prefix = ARGV[1], ARGV[2]
local first_id = 3
local found = {}
for i = first_id, #ARGV do found[i - first_id + 1] = false end
for _, slice in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local records = redis.call('HMGET', prefix .. slice .. ':' .. app, unpack(ARGV, first_id))
  for i, record in ipairs(records) do found[i] = found[i] or record end
end
return found
"""
