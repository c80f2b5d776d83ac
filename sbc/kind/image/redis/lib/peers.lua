#!lua name=peers

-- Whom the SBC asks whether he is there and where it registers, when, and what answers mean. Kamailio fetches `questions` ten times a
-- second, sends them and tells what was `answered`. What answers mean is written down in `sbc/peers.py`.
--
--   sbc:checks           trunk -> see CHECK_FIELDS in sbc/kind/entries.py; then the URIs of its addresses
--   sbc:registrations    trunk -> see REGISTRATION_FIELDS there; then the URIs that it is sent to in turn
--   live:due             sorted set: what is to be asked (method, trunk, digest of its entry), by when (ms)
--   live:peer:<trunk>    URI -> what is known of it; REGISTER -> how the registration stands
--   live:down            set of "<trunk> <URI>": addresses that are down
--   sbc:names, live:names  see steering/names.py: what a URI after "name:" stands for
--   live:registered      sorted set: trunk -> until when (ms) the SBC is registered there
--   live:bound           registration (REGISTER, trunk, digest of its entry) -> until when (ms) the registrar may have our
--                        contact, when it was asked last (0: that was answered), how often it was told to forget it, and
--                        the entry with addresses for its names; what is here and no more in the tables is unregistered
--
-- An entry that changes is another thing to ask, due at once; what is due and is no longer in the tables is forgotten.
-- So nothing has to be told that tables have changed, and a lost answer costs one question.

-- Entries of a table that are looked at each time.
local PAGE = '100'
local SILENCE = 0
local UNFIT = {[SILENCE] = true, [408] = true, [503] = true}

local function split(text)
  local found = {}
  for part in (text .. '\t'):gmatch('(.-)\t') do
    found[#found + 1] = part
  end
  return found
end

-- Milliseconds of Unix time, unless a test says otherwise.
local function clock(told)
  if told and told ~= '' then
    return tonumber(told)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function peer(trunk)
  return 'live:peer:' .. trunk
end

-- What is due ------------------------------------------------------------------------------

local function named(method, trunk, entry)
  return ('%s %s %s'):format(method, trunk, redis.sha1hex(entry):sub(1, 12))
end

-- Looks at some entries of a table, and has those asked that were not there before. Answers where to go on.
local function enrol(method, table_, cursor, now)
  local page = redis.call('HSCAN', table_, cursor, 'COUNT', PAGE)
  local found = {}
  for at = 1, #page[2], 2 do
    found[#found + 1] = now
    found[#found + 1] = named(method, page[2][at], page[2][at + 1])
  end
  if #found > 0 then
    redis.call('ZADD', 'live:due', 'NX', unpack(found))
  end
  return page[1]
end

-- A question as Kamailio takes it apart: see QUESTION_FIELDS in sbc/kind/entries.py. What is missing at its end is empty.
local function question(fields)
  for at = #fields + 1, 10 do
    fields[at] = ''
  end
  return table.concat(fields, '\t')
end

-- The URIs that a list stands for: those that the resolver found, for a name. Nothing where nothing was found.
local NAMED = 'name:'

local function found_of(trunk, listed)
  local names = redis.call('HGET', 'sbc:names', trunk)
  local family, answer = names and split(names)[2] or '4', {}
  for _, uri in ipairs(listed) do
    if uri:sub(1, #NAMED) ~= NAMED then
      answer[#answer + 1] = uri
    else
      local kept = redis.call('HGET', 'live:names', family .. ' ' .. uri:sub(#NAMED + 1))
      for _, address in ipairs(kept and cjson.decode(kept).addresses or {}) do
        answer[#answer + 1] = address.uri
      end
    end
  end
  return answer
end

-- Health checks ----------------------------------------------------------------------------

-- What is known of an address, blank-separated: health, failures, since, code, answered.
local function known_answers(trunk, uri)
  local kept = redis.call('HGET', peer(trunk), uri) or 'unknown 0 0 0 0'
  local health, failures, since, code, answered = kept:match('^(%S+) (%d+) (%d+) (%d+) (%d+)$')
  return {
    health = health, failures = tonumber(failures), since = tonumber(since), code = tonumber(code),
    answered = tonumber(answered),
  }
end

local function check_of(trunk)
  local entry = redis.call('HGET', 'sbc:checks', trunk)
  if not entry then
    return nil
  end
  local parts = split(entry)
  return {
    entry = entry, every = tonumber(parts[1]), failures = tonumber(parts[2]), socket = parts[3], request = parts[4],
    from = parts[5], uris = found_of(trunk, {unpack(parts, 6)}),
  }
end

-- Forgets addresses that the trunk has no more.
local function forget_others(trunk, uris)
  local wanted = {}
  for _, uri in ipairs(uris) do
    wanted[uri] = true
  end
  for _, uri in ipairs(redis.call('HKEYS', peer(trunk))) do
    if not wanted[uri] and uri ~= 'REGISTER' then
      redis.call('HDEL', peer(trunk), uri)
      redis.call('SREM', 'live:down', trunk .. ' ' .. uri)
    end
  end
end

-- The questions to all addresses of a trunk, and when to ask again; nothing when `due` is not what is wanted now.
local function options(trunk, due, now)
  local check = check_of(trunk)
  forget_others(trunk, check and check.uris or {})
  if not check or named('OPTIONS', trunk, check.entry) ~= due then
    return nil
  end
  local found = {}
  for _, uri in ipairs(check.uris) do
    local about = ('OPTIONS %s %s'):format(trunk, uri)
    found[#found + 1] = question{'OPTIONS', uri, check.socket, check.request, check.from, check.request, about}
  end
  return found, now + (#found > 0 and check.every or 1) * 1000
end

local function options_answered(trunk, uri, code, now)
  local check, known = check_of(trunk), known_answers(trunk, uri)
  if not check then
    return
  end
  local before = known.health
  if not UNFIT[code] then
    known.failures, known.health = 0, 'up'
  else
    known.failures = known.failures + 1
    known.health = known.failures >= check.failures and 'down' or before
  end
  known.since = known.health == before and known.since or now
  known.answered = code ~= SILENCE and now or known.answered
  local kept = ('%s %d %d %d %d'):format(known.health, known.failures, known.since, code, known.answered)
  redis.call('HSET', peer(trunk), uri, kept)
  redis.call(known.health == 'down' and 'SADD' or 'SREM', 'live:down', trunk .. ' ' .. uri)
end

-- Registrations ----------------------------------------------------------------------------

local FIRST_PAUSE, LONGEST_PAUSE, REFRESH, SHORTEST = 10, 600, 0.8, 10
-- Milliseconds until a registrar whose name was not found is looked for again.
local NAMELESS = 1000
-- How often a registrar is told to forget us, and how long (ms) a question may still be on its way.
local MOST_FAREWELLS, UNDER_WAY = 10, 6000
-- Where the addresses of a registrar begin in its entry.
local REGISTRAR = 9

-- A registration of the tables, or of `live:bound`, taken apart.
local function parsed(trunk, entry)
  local parts = split(entry)
  return {
    entry = entry, name = named('REGISTER', trunk, entry), expires = tonumber(parts[1]), socket = parts[2],
    request = parts[3], address = parts[4], contact = parts[5], user = parts[6], password = parts[7], realm = parts[8],
    uris = found_of(trunk, {unpack(parts, REGISTRAR)}),
  }
end

local function registration_of(trunk)
  local entry = redis.call('HGET', 'sbc:registrations', trunk)
  if not entry then
    return nil
  end
  return parsed(trunk, entry)
end

-- How a registration stands, blank-separated: expires, until, since, code, answered, tries, and the digest of the entry.
-- What stood under another entry is of no use.
local function standing_of(registration, trunk)
  local kept = redis.call('HGET', peer(trunk), 'REGISTER') or ''
  local expires, till, since, code, answered, tries, of = kept:match('^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%x+)$')
  if not of or not registration.name:find(of, 1, true) then
    return {expires = registration.expires, till = 0, since = 0, code = 0, answered = 0, tries = 0}
  end
  return {
    expires = tonumber(expires), till = tonumber(till), since = tonumber(since), code = tonumber(code),
    answered = tonumber(answered), tries = tonumber(tries),
  }
end

local function keep(registration, trunk, standing)
  local kept = ('%d %d %d %d %d %d %s'):format(standing.expires, standing.till, standing.since, standing.code,
    standing.answered, standing.tries, registration.name:match('%x+$'))
  redis.call('HSET', peer(trunk), 'REGISTER', kept)
  redis.call('ZADD', 'live:registered', standing.till, trunk)
end

-- Notes that the registrar may have our contact from now on, whatever becomes of the question. Names are looked up
-- for those in the tables only, so what they stand for is kept with it.
local function bind(registration, seconds, asked, now)
  local kept = redis.call('HGET', 'live:bound', registration.name)
  local till = math.max(now + seconds * 1000, asked > 0 and kept and tonumber(kept:match('^%d+')) or 0)
  local parts = split(registration.entry)
  local entry = table.concat({table.concat(parts, '\t', 1, REGISTRAR - 1), unpack(registration.uris)}, '\t')
  redis.call('HSET', 'live:bound', registration.name, ('%d %d 0 %s'):format(till, asked, entry))
end

local function pause(tries, addresses)
  return math.min(FIRST_PAUSE * 2 ^ math.floor((math.max(tries, 1) - 1) / addresses), LONGEST_PAUSE)
end

local function request_to(registration, trunk, uri, expires, about)
  local headers = ('Contact: <%s>;expires=%d\r\nExpires: %d\r\n'):format(registration.contact, expires, expires)
  if registration.realm ~= '' then
    headers = headers .. 'hide-realm: ' .. registration.realm .. '\r\n'
  end
  return question{
    'REGISTER', uri, registration.socket, registration.request, registration.address, registration.address, about,
    headers, registration.user, registration.password,
  }
end

-- The question to a registrar, and when to ask again unless it says otherwise; nothing when `due` is not wanted now.
local function register(trunk, due, now)
  local registration = registration_of(trunk)
  if not registration then
    redis.call('HDEL', peer(trunk), 'REGISTER')
    redis.call('ZREM', 'live:registered', trunk)
  end
  if not registration or registration.name ~= due then
    return nil
  end
  if #registration.uris == 0 then
    return {}, now + NAMELESS
  end
  local standing = standing_of(registration, trunk)
  local uri = registration.uris[standing.tries % #registration.uris + 1]
  standing.tries = standing.tries + 1
  keep(registration, trunk, standing)
  bind(registration, standing.expires, now, now)
  return {request_to(registration, trunk, uri, standing.expires, 'REGISTER ' .. trunk)},
    now + pause(standing.tries, #registration.uris) * 1000
end

-- For how many seconds the registrar keeps our contact, of all those that it lists.
local function granted(registration, contacts, expires)
  local ours = registration.contact:match('^sip:([^;]+)'):lower()
  for contact in (contacts .. ','):lower():gmatch('(.-),') do
    local from, to = contact:find(ours, 1, true)
    if from and not contact:sub(to + 1, to + 1):find('%w') then
      return tonumber(contact:match(';%s*expires%s*=%s*"?(%d+)')) or expires
    end
  end
  return expires
end

-- `told` has Expires, Min-Expires and the contacts, tab-separated.
local function register_answered(trunk, code, told, now)
  local registration = registration_of(trunk)
  if not registration then
    return
  end
  local standing, parts, due = standing_of(registration, trunk), split(told), nil
  standing.code = code
  standing.answered = code ~= SILENCE and now or standing.answered
  if code >= 200 and code < 300 then
    local seconds = granted(registration, parts[3] or '', tonumber(parts[1])) or 0
    seconds = math.max(seconds > 0 and seconds or standing.expires, SHORTEST)
    standing.since = standing.till > now and standing.since or now
    standing.till, standing.tries, due = now + seconds * 1000, 0, now + math.floor(seconds * 1000 * REFRESH)
    bind(registration, seconds, 0, now)
  elseif code == 423 and (tonumber(parts[2]) or 0) > standing.expires then
    standing.expires, due = tonumber(parts[2]), now
  end
  keep(registration, trunk, standing)
  if due then
    redis.call('ZADD', 'live:due', 'XX', due, registration.name)
  end
end

-- What is no longer registered -------------------------------------------------------------

local function bound(name)
  local kept = redis.call('HGET', 'live:bound', name)
  local till, asked, told, entry = (kept or ''):match('^(%d+) (%d+) (%d+) (.*)$')
  if not till then
    return nil
  end
  return {till = tonumber(till), asked = tonumber(asked), told = tonumber(told), entry = entry}
end

-- Whether a registration in the tables has this contact at this registrar: to take it away there would be its end too. So it is
-- where a password was changed, or a trunk got another name.
local function is_used(registration)
  for _, entry in ipairs(redis.call('HVALS', 'sbc:registrations')) do
    local parts = split(entry)
    if parts[3] == registration.request and parts[4] == registration.address and parts[5] == registration.contact then
      return true
    end
  end
  return false
end

-- Looks at some of those that may have our contact, and has those told to forget it that are in the tables no more.
local function enrol_leaving(cursor, now)
  local page = redis.call('HSCAN', 'live:bound', cursor, 'COUNT', PAGE)
  for at = 1, #page[2], 2 do
    local name = page[2][at]
    local trunk = name:match('^%S+ (%S+)')
    local entry = redis.call('HGET', 'sbc:registrations', trunk)
    if not entry or named('REGISTER', trunk, entry) ~= name then
      local binding = bound(name)
      redis.call('ZADD', 'live:due', 'NX', binding.asked > 0 and binding.asked + UNDER_WAY or now, 'UN' .. name)
    end
  end
  return page[1]
end

-- The question that takes our contact away, and when to ask again; nothing when that is of no use any more.
local function unregister(trunk, due, now)
  local name = due:sub(#'UN' + 1)
  local binding, present = bound(name), redis.call('HGET', 'sbc:registrations', trunk)
  if not binding or present and named('REGISTER', trunk, present) == name then
    return nil
  end
  local registration = parsed(trunk, binding.entry)
  local addresses = #registration.uris
  if addresses == 0 or binding.told >= MOST_FAREWELLS or binding.till <= now or is_used(registration) then
    redis.call('HDEL', 'live:bound', name)
    return nil
  end
  -- Should it come back to the tables, it is registered at once.
  redis.call('ZREM', 'live:due', name)
  if (redis.call('HGET', peer(trunk), 'REGISTER') or ''):match('%x+$') == name:match('%x+$') then
    redis.call('HDEL', peer(trunk), 'REGISTER')
    redis.call('ZREM', 'live:registered', trunk)
  end
  local uri = registration.uris[binding.told % addresses + 1]
  local told = binding.told + 1
  redis.call('HSET', 'live:bound', name, ('%d 0 %d %s'):format(binding.till, told, binding.entry))
  return {request_to(registration, trunk, uri, 0, due)}, now + pause(told, addresses) * 1000
end

-- Any answer but silence and one of a registrar that cannot now is the end of it.
local function unregister_answered(name, code)
  if code ~= SILENCE and code ~= 408 and code < 500 or code >= 600 then
    redis.call('HDEL', 'live:bound', name)
    redis.call('ZREM', 'live:due', 'UN' .. name)
  end
end

-- What Kamailio calls ----------------------------------------------------------------------

local ASKED = {OPTIONS = options, REGISTER = register, UNREGISTER = unregister}

-- What is to be asked now. Arguments: where to go on in the tables, how many questions at most (a trunk's come
-- together). Answers where to go on next time, then a question each.
local function questions(_, arguments)
  local now, left = clock(arguments[3]), tonumber(arguments[2])
  local checks, registrations, leaving = arguments[1]:match('^(%d+):?(%d*):?(%d*)$')
  local answer = {('%s:%s:%s'):format(
    enrol('OPTIONS', 'sbc:checks', checks, now),
    enrol('REGISTER', 'sbc:registrations', registrations ~= '' and registrations or '0', now),
    enrol_leaving(leaving ~= '' and leaving or '0', now)
  )}
  for _, due in ipairs(redis.call('ZRANGE', 'live:due', '-inf', now, 'BYSCORE', 'LIMIT', 0, left)) do
    if left <= 0 then
      break
    end
    local method, trunk = due:match('^(%S+) (%S+)')
    local found, again = ASKED[method](trunk, due, now)
    if found then
      redis.call('ZADD', 'live:due', again, due)
    else
      redis.call('ZREM', 'live:due', due)
    end
    for _, question in ipairs(found or {}) do
      answer[#answer + 1] = question
      left = left - 1
    end
  end
  return answer
end

-- Arguments: what the question was about, the code of the answer (0 when none came), and of a registrar what it granted.
local function answered(_, arguments)
  local method, trunk, uri = arguments[1]:match('^(%S+) (%S+) ?(%S*)$')
  local code, now = tonumber(arguments[2]), clock(arguments[4])
  if method == 'REGISTER' then
    register_answered(trunk, code, arguments[3], now)
  elseif method == 'UNREGISTER' then
    unregister_answered(('REGISTER %s %s'):format(trunk, uri), code)
  else
    options_answered(trunk, uri, code, now)
  end
end

-- What the programs ask --------------------------------------------------------------------

-- What is known of a trunk's addresses: JSON of lists, for an empty list is an object to this encoder.
local function addresses_of(trunk)
  local check, found = check_of(trunk), {}
  for _, uri in ipairs(check and check.uris or {}) do
    local known = known_answers(trunk, uri)
    found[#found + 1] = cjson.encode({
      uri = uri, state = known.health, failures = known.failures,
      since = known.since > 0 and known.since or cjson.null,
      code = known.code > 0 and known.code or cjson.null,
      answered = known.answered > 0 and known.answered or cjson.null,
    })
  end
  return '[' .. table.concat(found, ',') .. ']'
end

-- How the registration with a trunk stands, as JSON.
local function registration_state(trunk, now)
  local registration = registration_of(trunk)
  if not registration then
    return 'null'
  end
  local standing = standing_of(registration, trunk)
  local holds = standing.till > now
  return cjson.encode({
    state = holds and 'registered' or standing.code > 0 and 'refused' or standing.tries > 1 and 'silent' or 'unknown',
    ['until'] = holds and standing.till or cjson.null,
    since = holds and standing.since or cjson.null,
    code = standing.code > 0 and standing.code or cjson.null,
    answered = standing.answered > 0 and standing.answered or cjson.null,
    tries = standing.tries,
  })
end

-- What was found for the names of a trunk, as a JSON list.
local function names_of(trunk)
  local entry, found = redis.call('HGET', 'sbc:names', trunk), {}
  local parts = entry and split(entry) or {}
  for at = 3, #parts do
    local kept = redis.call('HGET', 'live:names', parts[2] .. ' ' .. parts[at])
    local known = kept and cjson.decode(kept) or {addresses = {}}
    local uris = {}
    for _, address in ipairs(known.addresses) do
      uris[#uris + 1] = cjson.encode(address.uri)
    end
    found[#found + 1] = ('{"name":%s,"found":[%s],"since":%s,"until":%s,"error":%s}'):format(cjson.encode(parts[at]),
      table.concat(uris, ','), cjson.encode(known.since or cjson.null), cjson.encode(known['until'] or cjson.null),
      cjson.encode(known.error or 'it has not been looked up yet'))
  end
  return '[' .. table.concat(found, ',') .. ']'
end

local function state_of(trunk, now)
  return ('{"addresses":%s,"registration":%s,"names":%s}'):format(addresses_of(trunk), registration_state(trunk, now),
    names_of(trunk))
end

-- The states of one trunk, or of a page of a table (sbc:checks or sbc:registrations): where to go on, then a trunk's
-- name and its state as JSON each. The last argument is a test's clock.
local function peers(_, arguments)
  local table_, cursor, trunk, now = arguments[1], arguments[2], arguments[3] or '', clock(arguments[4])
  if trunk ~= '' then
    local is_asked = redis.call('HEXISTS', 'sbc:checks', trunk) + redis.call('HEXISTS', 'sbc:registrations', trunk)
      + redis.call('HEXISTS', 'sbc:names', trunk) > 0
    return is_asked and {'0', trunk, state_of(trunk, now)} or {'0'}
  end
  local page = redis.call('HSCAN', table_, cursor, 'COUNT', PAGE)
  local answer = {page[1]}
  for at = 1, #page[2], 2 do
    answer[#answer + 1] = page[2][at]
    answer[#answer + 1] = state_of(page[2][at], now)
  end
  return answer
end

-- Whether the first request to a registrar has had no time to be answered.
local function is_early(registration, standing, now)
  local due = redis.call('ZSCORE', 'live:due', registration.name)
  local left = due and tonumber(due) - now or 0
  return standing.code == 0 and (standing.tries == 0 or standing.tries == 1 and left > FIRST_PAUSE * 1000 / 2)
end

-- The trunks with which the SBC is not registered, each followed by the code of the last answer.
local function unregistered(_, arguments)
  local now, found, trunks = clock(arguments[1]), {}, redis.call('HKEYS', 'sbc:registrations')
  for from = 1, #trunks, 1000 do
    local page = {unpack(trunks, from, math.min(from + 999, #trunks))}
    for at, till in ipairs(redis.call('ZMSCORE', 'live:registered', unpack(page))) do
      local registration = registration_of(page[at])
      local standing = standing_of(registration, page[at])
      if (not till or tonumber(till) <= now) and not is_early(registration, standing, now) then
        found[#found + 1] = page[at]
        found[#found + 1] = tostring(standing.code)
      end
    end
  end
  return found
end

-- The names for which nothing is found now, as trunk and why not.
local function nameless()
  local found = {}
  for _, trunk in ipairs(redis.call('HKEYS', 'sbc:names')) do
    local parts = split(redis.call('HGET', 'sbc:names', trunk))
    for at = 3, #parts do
      local kept = redis.call('HGET', 'live:names', parts[2] .. ' ' .. parts[at])
      local known = kept and cjson.decode(kept)
      if known and known.error ~= '' then
        found[#found + 1] = trunk
        found[#found + 1] = known.error
      end
    end
  end
  return found
end

-- The addresses that are down, as trunk and URI.
local function down()
  local found = {}
  for _, pair in ipairs(redis.call('SMEMBERS', 'live:down')) do
    local trunk, uri = pair:match('^(%S+) (%S+)$')
    local check = check_of(trunk)
    for _, wanted in ipairs(check and check.uris or {}) do
      found[#found + 1] = wanted == uri and pair or nil
    end
  end
  return found
end

redis.register_function('questions', questions)
redis.register_function('answered', answered)
redis.register_function{function_name = 'peers', callback = peers, flags = {'no-writes'}}
redis.register_function{function_name = 'nameless', callback = nameless, flags = {'no-writes'}}
redis.register_function{function_name = 'down', callback = down, flags = {'no-writes'}}
redis.register_function{function_name = 'unregistered', callback = unregistered, flags = {'no-writes'}}
