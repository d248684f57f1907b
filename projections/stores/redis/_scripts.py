"""The Lua that Redis runs: each script is one atomic step. Batches travel as one MessagePack argument."""

from projections.stores.redis._connection import Script

STAMP_FIELD = ":newest"
"""Of a row's hash: what says how new its newest columns are. No column has a name that begins so."""

# Lua's unpack can take about 8,000 values, so long lists go in pieces (of an even number: fields with their values).
_PIECES = """
local function pieces(command, key, items, first)
  for i = first, #items, 4000 do
    redis.call(command, key, unpack(items, i, math.min(i + 3999, #items)))
  end
end
"""

_WRITE = (
    _PIECES
    + """
local function write(batch)
for _, key in ipairs(batch[1]) do redis.call('DEL', key) end
for _, row in ipairs(batch[2]) do pieces('HDEL', row[1], row, 2) end
for _, row in ipairs(batch[3]) do
  if #row <= 4000 then redis.call('HSET', unpack(row)) else pieces('HSET', row[1], row, 2) end
end
pieces('ZREM', KEYS[2], batch[4], 1)
pieces('HDEL', KEYS[3], batch[5], 1)
pieces('ZADD', KEYS[2], batch[6], 1)
pieces('HSET', KEYS[3], batch[7], 1)
for _, member in ipairs(batch[8]) do redis.call('HSETNX', KEYS[3], member, '') end
for _, row in ipairs(batch[9]) do
  local stamp = redis.call('HGET', row[1], '"""
    + STAMP_FIELD
    + """')
  if not stamp or stamp < row[2] then
    redis.call('HSET', row[1], '"""
    + STAMP_FIELD
    + """', row[2])
    pieces('HDEL', row[1], row[3], 1)
    pieces('HSET', row[1], row, 4)
  end
end
for _, row in ipairs(batch[10]) do
  pieces('LPUSH', row[1], row, 4)
  redis.call('LTRIM', row[1], 0, row[2] - 1)
  if row[3] > 0 and redis.call('PEXPIRETIME', row[1]) < row[3] then redis.call('PEXPIREAT', row[1], row[3]) end
end
for _, row in ipairs(batch[11]) do pieces('ZADD', row[1], row, 2) end
for _, row in ipairs(batch[12]) do pieces('ZREM', row[1], row, 2) end
end
"""
)

APPLY = Script(
    _WRITE
    + """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
write(cmsgpack.unpack(ARGV[4]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
)
"""Apply rows and position. KEYS: progress, scores, exact. ARGV: place, position as it must be, position to be, batch.

The batch: keys to delete; [key, field ...] to delete from; [key, field, value ...] to set; and flat for a sorted set:
members to remove from the scores, from the exact texts; score, member ... to set; member, exact text ... to set;
members to make where they are missing; then [key, stamp, [field to delete ...], field, value ...] to set where the
row's stamp is a lesser one; and [list, how many it keeps, when it expires in ms or 0, element ...] to push;
[sorted set, score, member ...] to set, and [sorted set, member ...] to remove.
"""

# The first version exists as soon as anybody asks.
_LIVE = """
local base = KEYS[1]
local function live_version()
  local live = redis.call('GET', base .. ':live')
  if not live then
    live = '1'
    redis.call('SET', base .. ':live', live)
    redis.call('SADD', base .. ':versions', live)
    redis.call('SETNX', base .. ':last', live)
  end
  return live
end
"""

PREPARE = Script(
    _LIVE
    + """
local declared = base .. ':v' .. live_version() .. ':declared'
local differences = {}
for i = 1, #ARGV, 2 do
  local was = redis.call('HGET', declared, ARGV[i])
  if was and was ~= ARGV[i + 1] then
    differences[#differences + 1] = ARGV[i] .. ' was ' .. was .. ', not ' .. ARGV[i + 1]
  end
end
if #differences == 0 then redis.call('HSET', declared, unpack(ARGV)) end
return differences
"""
)
"""Note what the model declares, unless it contradicts what the live version was made with. ARGV: name, meaning ..."""

OPEN = Script(
    _LIVE
    + """
local version = live_version()
if ARGV[1] ~= '' then version = ARGV[1] end
if redis.call('SISMEMBER', base .. ':versions', version) == 0 then return false end
local progress = base .. ':v' .. version .. ':progress'
redis.call('HSETNX', progress, ARGV[2], '0 ' .. ARGV[3])
return {version, redis.call('HGET', progress, ARGV[2])}
"""
)
"""Version and position of a partition, made if new. KEYS: base. ARGV: version or nothing, place, a fence of its own."""

CREATE = Script(
    _LIVE
    + """
live_version()
local version = redis.call('INCR', base .. ':last')
redis.call('SADD', base .. ':versions', version)
if ARGV[1] ~= '' then redis.call('HSET', base .. ':notes', version, ARGV[1]) end
redis.call('HSET', base .. ':v' .. version .. ':declared', unpack(ARGV, 2))
return version
"""
)
"""A version beside the live one. KEYS: base. ARGV: note or nothing, name, meaning ... of what is declared."""


# Whether a version's progress is what is wanted, and a new fence for all of its owners.
_STANDS = """
local function stands(progress, wanted, left)
  local found = redis.call('HGETALL', progress)
  for i = 1, #found, 2 do
    local following = string.match(found[i + 1], '^%d+')
    if following ~= '0' then
      if wanted[found[i]] ~= following then return false end
      left = left - 1
    end
  end
  return left == 0
end
local function refence(progress, fence)
  local found = redis.call('HGETALL', progress)
  for i = 1, #found, 2 do
    redis.call('HSET', progress, found[i], string.match(found[i + 1], '^%d+') .. ' ' .. fence)
  end
end
"""

SWITCH = Script(
    _LIVE
    + _STANDS
    + """
local old, new = live_version(), ARGV[1]
if redis.call('SISMEMBER', base .. ':versions', new) == 0 then return -1 end
if ARGV[5] ~= '' and ARGV[5] ~= old then return 0 end
local progress = base .. ':v' .. old .. ':progress'
if not stands(progress, cmsgpack.unpack(ARGV[2]), ARGV[3] + 0) then return 0 end
if old ~= new then
  refence(progress, ARGV[4])
  redis.call('SET', base .. ':previous', old)
  redis.call('SET', base .. ':live', new)
  redis.call('HDEL', base .. ':notes', new)
end
return 1
"""
)
"""Make a version live. KEYS: base. ARGV: version, {place: next} of the live one, its size, a new fence, then which
one must be live or nothing."""

AMEND = Script(
    _LIVE
    + _STANDS
    + _WRITE
    + """
if live_version() ~= ARGV[1] then return 0 end
local progress = base .. ':v' .. ARGV[1] .. ':progress'
if not stands(progress, cmsgpack.unpack(ARGV[2]), ARGV[3] + 0) then return 0 end
write(cmsgpack.unpack(ARGV[5]))
refence(progress, ARGV[4])
return 1
"""
)
"""Write rows of the live version. KEYS: base, scores, exact. ARGV: four as of `SWITCH`, and a batch as of `APPLY`."""

DROP = Script(
    _LIVE
    + """
if live_version() == ARGV[1] then return 0 end
redis.call('SREM', base .. ':versions', ARGV[1])
redis.call('HDEL', base .. ':notes', ARGV[1])
redis.call('DEL', base .. ':v' .. ARGV[1] .. ':progress', base .. ':v' .. ARGV[1] .. ':declared')
return 1
"""
)

PROGRESS = Script(
    """
local version = ARGV[1]
if version == '' then version = redis.call('GET', KEYS[1] .. ':live') or '1' end
return redis.call('HGETALL', KEYS[1] .. ':v' .. version .. ':progress')
"""
)

VALUES = Script(
    """
local found = {}
for i, row in ipairs(cmsgpack.unpack(ARGV[1])) do
  local values = {}
  for first = 2, #row, 4000 do
    local piece = redis.call('HMGET', row[1], unpack(row, first, math.min(first + 3999, #row)))
    for j = 1, #piece do values[first + j - 2] = piece[j] end
  end
  found[i] = values
end
return cmsgpack.pack(found)
"""
)
"""Values of fields: [[key, field ...] ...] to [[value or false ...] ...]."""

LISTS = Script(
    """
local found = {}
for i, key in ipairs(ARGV) do found[i] = redis.call('LRANGE', key, 0, -1) end
return cmsgpack.pack(found)
"""
)
"""Whole lists: a key each argument, to [[element ...] ...]."""

ROWS = Script(
    """
local found = {}
for i, key in ipairs(ARGV) do found[i] = redis.call('HGETALL', key) end
return cmsgpack.pack(found)
"""
)
"""Whole hashes: a key each argument, to [[field, value ...] ...]."""

TIMES = Script(
    """
local found = {}
for i, key in ipairs(ARGV) do found[i] = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
return cmsgpack.pack(found)
"""
)
"""Whole sorted sets: a key each argument, to [[member, score ...] ...]."""

RANGE = Script(
    """
local found = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'REV', 'WITHSCORES')
local rows = {}
for i = 1, #found, 2 do
  rows[#rows + 1] = {found[i], found[i + 1], redis.call('HGET', KEYS[2], found[i])}
end
return cmsgpack.pack(rows)
"""
)
"""Members by rank, highest first: [[member, score, exact text] ...]. KEYS: scores, exact."""
