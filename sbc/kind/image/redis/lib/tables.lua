#!lua name=tables

-- The door by which the platform changes the tables of this database: all of a change or none of it.
--
--   sbc:*      the tables                                  revision   that of the tables, absent when it is 0
--   staged:*   tables in the making, which nobody reads
--
-- Everything else here (`records`, `live:*`) belongs to the VNF and is not touched. Redis undoes nothing when a
-- function fails half way, so commands are checked to the last before the first is carried out.

local TABLES, STAGED, REVISION = 'sbc:', 'staged:', 'revision'
-- Arguments given to one Redis command. Even, for fields and values come in pairs; Lua has room for 8000.
local SLICE = 2000
-- What a command makes of its key. DEL takes keys and nothing else.
local KINDS = {HSET = 'hash', HDEL = 'hash', SADD = 'set', SREM = 'set'}

-- What is wrong with a command, nil when nothing is. `kinds` says what keys are once the commands before are done.
local function wrong(command, prefix, kinds)
  local name, kind = command[1], KINDS[command[1]]
  if not kind and name ~= 'DEL' then
    return 'is none that changes a table'
  end
  for _, argument in ipairs(command) do
    if type(argument) ~= 'string' then
      return 'has an argument that is no text'
    end
  end
  if #command < (kind and 3 or 2) or (name == 'HSET' and #command % 2 == 1) then
    return 'lacks arguments'
  end
  for place = 2, kind and 2 or #command do
    local key = command[place]
    if key:sub(1, #TABLES) ~= TABLES then
      return 'is about no table'
    end
    local found = kinds[key] or redis.call('TYPE', prefix .. key).ok
    if kind and found ~= 'none' and found ~= kind then
      return ('takes a %s for a %s'):format(found, kind)
    end
    kinds[key] = kind or 'none'
  end
end

local function run(command, prefix)
  if command[1] == 'DEL' then
    for place = 2, #command do
      redis.call('UNLINK', prefix .. command[place])
    end
    return
  end
  for from = 3, #command, SLICE do
    redis.call(command[1], prefix .. command[2], unpack(command, from, math.min(from + SLICE - 1, #command)))
  end
end

-- Carries out all commands on the tables whose keys begin with `prefix`, or none: then it answers which is refused.
local function run_all(commands, prefix)
  local kinds = {}
  for place, command in ipairs(commands) do
    local complaint = wrong(command, prefix, kinds)
    if complaint then
      return redis.error_reply(('REFUSED command %d %s'):format(place, complaint))
    end
  end
  for _, command in ipairs(commands) do
    run(command, prefix)
  end
end

local function keys(prefix)
  local found, cursor = {}, '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', prefix .. TABLES .. '*', 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      found[#found + 1] = key
    end
  until cursor == '0'
  return found
end

local function remove_all(prefix)
  for _, key in ipairs(keys(prefix)) do
    redis.call('UNLINK', key)
  end
end

-- Begins new tables ('first') or goes on with them, so that nobody waits long while many entries are written.
-- Arguments: 'first' or '', and commands as a JSON list of lists.
local function stage(_, arguments)
  if arguments[1] == 'first' then
    remove_all(STAGED)
  end
  return run_all(cjson.decode(arguments[2]), STAGED) or redis.status_reply('OK')
end

-- Takes the tables from revision `base` to `revision`. With base '' those that were staged take the place of all
-- there are. Arguments: base, revision, and commands as a JSON list of lists, which come last. Answers the revision
-- afterwards: another one when the change does not fit what is here.
local function change(_, arguments)
  local base, revision = arguments[1], arguments[2]
  local present = redis.call('GET', REVISION) or '0'
  if base ~= '' and base ~= present then
    return tonumber(present)
  end
  local refused = run_all(cjson.decode(arguments[3]), base == '' and STAGED or '')
  if refused then
    return refused
  end
  if base == '' then
    remove_all('')
    for _, key in ipairs(keys(STAGED)) do
      redis.call('RENAME', key, key:sub(#STAGED + 1))
    end
  end
  redis.call('SET', REVISION, revision)
  return tonumber(revision)
end

redis.register_function('stage', stage)
redis.register_function('change', change)
