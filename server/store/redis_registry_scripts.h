// What the calls of RedisRegistry do in Redis, in Lua. Keys and fields: redis_registry.h; `remember` and the names in
// capitals that are not made here: redis_scripts.h.
#pragma once

#include "server/store/redis_scripts.h"

namespace barista::redis_registry {

// ARGV: lease in ms.
inline constexpr absl::string_view kShared = R"lua(
local LEASE_MS, KEPT_MS = tonumber(ARGV[4]), 3600000
local time = call('TIME')
local NOW_US = time[1] * 1000000 + time[2]
local NOW_MS = math.floor(NOW_US / 1000)
local PARKED, ENDED, EPOCH = PREFIX .. 'parked', PREFIX .. 'ended', PREFIX .. 'epoch'

-- Numbers of this size are exact as doubles, but tostring would round them.
local function digits(number) return string.format('%.0f', number) end
local function session_of(key) return PREFIX .. 'session:' .. key end
local function bytes_of(key) return PREFIX .. 'bytes:' .. key end

-- The newest epoch of the key that Redis knows, 0 where it knows none.
local function newest(key)
  return tonumber(call('HGET', session_of(key), 'epoch') or call('ZSCORE', ENDED, key) or 0)
end
local function next_epoch(key)
  local epoch = math.max(NOW_US, tonumber(call('GET', EPOCH) or 0) + 1, newest(key) + 1)
  call('SET', EPOCH, digits(epoch))
  return digits(epoch)
end
-- The other server that has the key, and whether its lease lives; nil where there is none.
local function rival(key)
  local owner, lease_ms = unpack(call('HMGET', session_of(key), 'owner', 'lease_ms'))
  if not owner or owner == '' or owner == ME then return nil, false end
  return owner, tonumber(lease_ms) > NOW_MS
end
local function take(key, epoch)
  call('HSET', session_of(key), 'epoch', epoch, 'owner', ME, 'lease_ms', digits(NOW_MS + LEASE_MS))
end
local function hold(key, epoch)
  take(key, epoch)
  call('PEXPIRE', session_of(key), digits(LEASE_MS + KEPT_MS))
end
local function remove_bytes(key)
  call('DEL', bytes_of(key))
  call('SREM', PARKED, key)
end
local function no_longer_wanted(server, key) call('SREM', PREFIX .. 'wanted:' .. server, key) end
)lua";

// ARGV: lease, key.
inline constexpr RedisScript kCreate = {"create", kShared, R"lua(
local key = ARGV[5]
remember()
local owner, lives = rival(key)
if lives or call('EXISTS', bytes_of(key)) == 1 then return {'EXISTS'} end
if owner then no_longer_wanted(owner, key) end
local epoch = next_epoch(key)
hold(key, epoch)
return {'OK', epoch}
)lua"};

// ARGV: lease, key.
inline constexpr RedisScript kClaim = {"claim", kShared, R"lua(
local key = ARGV[5]
remember()
local owner, lives = rival(key)
if call('EXISTS', bytes_of(key)) == 0 then
  if not lives then return {'NONE'} end
  call('SADD', PREFIX .. 'wanted:' .. owner, key)
  call('PEXPIRE', PREFIX .. 'wanted:' .. owner, digits(LEASE_MS))
  return {'HELD'}
end
if lives then return {'RESERVED'} end
local epoch = next_epoch(key)
take(key, epoch)
return {'OK', epoch, call('GET', bytes_of(key))}
)lua"};

// ARGV: lease, key, epoch.
inline constexpr RedisScript kConfirm = {"confirm", kShared, R"lua(
local key, epoch = ARGV[5], ARGV[6]
remember()
if tonumber(epoch) < newest(key) then return {'OLD'} end
remove_bytes(key)
hold(key, epoch)
return {'OK'}
)lua"};

// ARGV: lease, key, epoch, bytes.
inline constexpr RedisScript kPark = {"park", kShared, R"lua(
local key, epoch = ARGV[5], ARGV[6]
if tonumber(epoch) < newest(key) then
  remember()
  return {'OLD'}
end
call('SET', bytes_of(key), ARGV[7])
remember()
call('SADD', PARKED, key)
call('HSET', session_of(key), 'epoch', epoch, 'owner', '', 'lease_ms', 0)
call('PERSIST', session_of(key))
no_longer_wanted(ME, key)
return {'OK'}
)lua"};

// ARGV: lease, key, epoch. OK also where the session has ended: the call may be a repeated one.
inline constexpr RedisScript kForget = {"forget", kShared, R"lua(
local key, epoch = ARGV[5], ARGV[6]
remember()
if tonumber(epoch) < tonumber(call('HGET', session_of(key), 'epoch') or 0) then return {'OLD'} end
call('ZADD', ENDED, next_epoch(key), key)
call('ZREMRANGEBYSCORE', ENDED, '-inf', digits(NOW_US - KEPT_MS * 1000))
call('PEXPIRE', ENDED, KEPT_MS)
remove_bytes(key)
call('DEL', session_of(key))
no_longer_wanted(ME, key)
return {'OK'}
)lua"};

// ARGV: lease, then key and epoch of each. The keys that are another's, or parked. A session that this server claimed
// and has not confirmed keeps its bytes; bytes of an older epoch are what a Redis that went back in time found again.
inline constexpr RedisScript kRenew = {"renew", kShared, R"lua(
local lost = {'OK'}
remember()
for i = 5, #ARGV, 2 do
  local key, epoch = ARGV[i], ARGV[i + 1]
  local known = newest(key)
  if tonumber(epoch) < known then
    table.insert(lost, key)
  elseif tonumber(epoch) > known then
    remove_bytes(key)
    hold(key, epoch)
  elseif call('HGET', session_of(key), 'owner') ~= ME then
    table.insert(lost, key)
  elseif call('EXISTS', bytes_of(key)) == 1 then
    take(key, epoch)
  else
    hold(key, epoch)
  end
end
return lost
)lua"};

// ARGV: lease.
inline constexpr RedisScript kTakeWanted = {"take_wanted", kShared, R"lua(
remember()
local keys = call('SMEMBERS', PREFIX .. 'wanted:' .. ME)
call('DEL', PREFIX .. 'wanted:' .. ME)
table.insert(keys, 1, 'OK')
return keys
)lua"};

// ARGV: lease.
inline constexpr RedisScript kListParked = {"list_parked", kShared, R"lua(
local keys = call('SMEMBERS', PARKED)
table.insert(keys, 1, 'OK')
return keys
)lua"};

}  // namespace barista::redis_registry
