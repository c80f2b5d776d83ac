#!lua name=sbc

-- The routing policy of an SBC, in the store that holds its tables: one call of `decide` per
-- call set-up. It decides as `sbc/policy.py` does, which is where the rules are written down.
--
--   sbc:trunks    id -> JSON            sbc:sources    side/4:<bits of a prefix> -> trunk id
--   sbc:rules     side/4:<bits> -> allow or deny      sbc:users:<side>  user -> password, tab, trunk id
--   sbc:routes    trunk/prefix -> JSON list      sbc:patterns   trunk -> JSON list
--   sbc:lengths   set of "4:<prefix length>"     sbc:emergency  number -> JSON
--   sbc:nat       set of ids of trunks behind a NAT
--   live:names    "family URI" -> JSON, what the resolver found for a name      live:sources  side/address -> trunk id
--   live:ended    "<trunk> <what>" -> number, of calls since `pace` was asked at live:paced
--   live:down     set of "<trunk> <URI>", addresses that are down; sbc:checks has the trunks that are asked (peers.lua)

local MOST_ATTEMPTS = 8
local WEEK = 7 * 24 * 60
local PRIME, ROOT = 2147483647, 16807
local CLASSES = {X = '[0-9]', Z = '[1-9]', N = '[2-9]', ['.'] = '.+'}

-- What was decoded lately, by its text: calls come by the thousand between two changes. Who gets it leaves it as it is.
local MOST_DECODED = 2000
local decoded, decoded_count = {}, 0

local function decode(text)
  local found = decoded[text]
  if not found then
    if decoded_count == MOST_DECODED then
      decoded, decoded_count = {}, 0
    end
    found = cjson.decode(text)
    decoded[text], decoded_count = found, decoded_count + 1
  end
  return found
end

local function starts(text, prefix)
  return text:sub(1, #prefix) == prefix
end

-- Addresses as strings of bits, so that a prefix is a prefix ------------------------------

local function bits(value, width)
  local found = {}
  for i = width, 1, -1 do
    found[i] = tostring(value % 2)
    value = math.floor(value / 2)
  end
  return table.concat(found)
end

-- Bytes as bits, by their decimal digits, each from when it was first met.
local BYTES = {}

local function bits_of_ipv4(address)
  local found = {}
  for part in address:gmatch('%d+') do
    BYTES[part] = BYTES[part] or bits(tonumber(part), 8)
    found[#found + 1] = BYTES[part]
  end
  return table.concat(found)
end

local function groups(text)
  local found = {}
  for part in text:gmatch('[^:]+') do
    if part:find('.', 1, true) then
      local both = bits_of_ipv4(part)
      found[#found + 1] = both:sub(1, 16)
      found[#found + 1] = both:sub(17)
    else
      found[#found + 1] = bits(tonumber(part, 16), 16)
    end
  end
  return found
end

local function bits_of_ipv6(address)
  local gap = address:find('::', 1, true)
  local head = groups(gap and address:sub(1, gap - 1) or address)
  local tail = groups(gap and address:sub(gap + 2) or '')
  local missing = string.rep(string.rep('0', 16), 8 - #head - #tail)
  return table.concat(head) .. missing .. table.concat(tail)
end

-- What `look` finds for the longest prefix that holds the address, given as family and bits.
local function by_longest_prefix(address, look)
  local family, whole, longest = '4:', nil, 32
  if address:find(':', 1, true) then
    family, whole, longest = '6:', bits_of_ipv6(address), 128
  else
    whole = bits_of_ipv4(address)
  end
  local exact = look(family .. whole)
  if exact then
    return exact
  end
  local lengths = {}
  for _, length in ipairs(redis.call('SMEMBERS', 'sbc:lengths')) do
    if starts(length, family) then
      lengths[#lengths + 1] = tonumber(length:sub(3))
    end
  end
  table.sort(lengths, function(a, b) return a > b end)
  for _, length in ipairs(lengths) do
    local found = length < longest and look(family .. whole:sub(1, length))
    if found then
      return found
    end
  end
end

-- The trunk with the longest prefix that holds the address, or one for whose name the address was found.
local function find_trunk_id(side, address)
  return by_longest_prefix(address, function(prefix)
    return redis.call('HGET', 'sbc:sources', side .. '/' .. prefix)
  end) or redis.call('HGET', 'live:sources', side .. '/' .. address) or nil
end

local function is_denied(side, address)
  if redis.call('HLEN', 'sbc:rules') == 0 then
    return false
  end
  return by_longest_prefix(address, function(prefix)
    local own, any = unpack(redis.call('HMGET', 'sbc:rules', side .. '/' .. prefix, '*/' .. prefix))
    return own or any
  end) == 'deny'
end

-- What a source is to the SBC, see `Standing` in the policy.
local function standing_of(_, arguments)
  local side, address = arguments[1], arguments[2]
  if is_denied(side, address) then
    return 'denied'
  elseif find_trunk_id(side, address) then
    return 'trusted'
  end
  return redis.call('EXISTS', 'sbc:users:' .. side) == 1 and 'challenged' or 'stranger'
end

-- Numbers ----------------------------------------------------------------------------------

local function to_e164(plan, number)
  if plan.country == '' or starts(number, '+') then
    return number
  end
  if plan.international ~= '' and starts(number, plan.international) then
    return '+' .. number:sub(#plan.international + 1)
  end
  if plan.national ~= '' and starts(number, plan.national) then
    return '+' .. plan.country .. number:sub(#plan.national + 1)
  end
  return number
end

local function written(plan, number, format)
  if format == 'as-is' or format == 'e164' or not starts(number, '+') then
    return number
  end
  if format == 'plain' then
    return number:sub(2)
  end
  local home = '+' .. plan.country
  if plan.country ~= '' and starts(number, home) then
    return plan.national .. number:sub(#home + 1)
  end
  return plan.international .. number:sub(2)
end

local function apply(rule, number)
  return rule.prefix .. number:sub(rule.strip + 1)
end

-- Routes -----------------------------------------------------------------------------------

local function is_open(window, now)
  if not window or window == cjson.null then
    return true
  end
  local offset = window.offsets[1][2]
  for _, entry in ipairs(window.offsets) do
    if entry[1] <= now then
      offset = entry[2]
    end
  end
  local minute = (math.floor((now + offset) / 60) + 3 * 1440) % WEEK
  for _, span in ipairs(window.spans) do
    if span[1] <= minute and minute < span[2] then
      return true
    end
  end
  return false
end

local function fits(pattern, number)
  local expression = pattern:gsub('.', function(character)
    return CLASSES[character] or character:gsub('%W', '%%%0')
  end)
  return number:find('^' .. expression .. '$') ~= nil
end

local function first_open(encoded, number, now)
  for _, route in ipairs(encoded and decode(encoded) or {}) do
    if is_open(route.window, now) and (route.pattern == cjson.null or fits(route.pattern, number)) then
      return route
    end
  end
end

local function best_route(trunk, number, now)
  for _, encoded in ipairs(redis.call('HMGET', 'sbc:patterns', trunk, '*')) do
    local route = first_open(encoded, number, now)
    if route then
      return route
    end
  end
  local keys = {}
  for length = #number, 0, -1 do
    keys[#keys + 1] = trunk .. '/' .. number:sub(1, length)
    keys[#keys + 1] = '*/' .. number:sub(1, length)
  end
  for _, encoded in ipairs(redis.call('HMGET', 'sbc:routes', unpack(keys))) do
    local route = first_open(encoded, number, now)
    if route then
      return route
    end
  end
end

-- Targets ----------------------------------------------------------------------------------

local function lowest_priority(choices)
  local lowest
  for _, choice in ipairs(choices) do
    if not lowest or choice.priority < lowest then
      lowest = choice.priority
    end
  end
  return lowest
end

local function pick(choices, draw)
  local priority, total = lowest_priority(choices), 0
  for _, choice in ipairs(choices) do
    total = total + (choice.priority == priority and choice.weight or 0)
  end
  local point = draw % total
  for index, choice in ipairs(choices) do
    if choice.priority == priority then
      point = point - choice.weight
      if point < 0 then
        return index
      end
    end
  end
end

local function in_turn(choices, draw)
  local left, ordered = {unpack(choices)}, {}
  while #left > 0 do
    draw = draw * ROOT % PRIME
    ordered[#ordered + 1] = table.remove(left, pick(left, draw))
  end
  return ordered
end

local function known_trunk(id)
  local encoded = redis.call('HGET', 'sbc:trunks', id)
  return encoded and decode(encoded) or nil
end

local function trunk_by_id(id)
  local trunk = known_trunk(id)
  return trunk and trunk.enabled and trunk or nil
end

-- Of a trunk that is not asked any more nothing is known.
local function is_down(trunk, uri)
  return redis.call('SISMEMBER', 'live:down', trunk .. ' ' .. uri) == 1
    and redis.call('HEXISTS', 'sbc:checks', trunk) == 1
end

-- What an address stands for, in the order in which it is tried: those that the resolver found, for a name.
local function found(trunk, address, draw)
  if not address.named then
    return {address}
  end
  local kept = redis.call('HGET', 'live:names', trunk.media.family .. ' ' .. address.uri)
  return kept and in_turn(decode(kept).addresses, draw) or {}
end

local function find_pairs(targets, draw, emergency)
  local up, down = {}, {}
  for _, target in ipairs(in_turn(targets, draw)) do
    local trunk = trunk_by_id(target.trunk)
    for _, named in ipairs(trunk and in_turn(trunk.addresses, draw) or {}) do
      for _, address in ipairs(found(trunk, named, draw)) do
        table.insert(is_down(trunk.id, address.uri) and down or up, {trunk = trunk, address = address})
      end
    end
  end
  for _, pair in ipairs(emergency and down or {}) do
    up[#up + 1] = pair
  end
  return up
end

-- Media ------------------------------------------------------------------------------------

local ALWAYS = 'replace-origin replace-session-connection replace-zero-address ICE=remove strict-source'
-- Digits (RFC 4733) and silence (RFC 3389) go with whatever codec is agreed on.
local BESIDES = {'telephone-event', 'CN'}
local KNOWN = {'PCMU', 'PCMA', 'G722', 'opus', 'G729', 'GSM', 'speex', 'iLBC', 'AMR', 'AMR-WB'}
local STATIC = {PCMU = '0', GSM = '3', PCMA = '8', G722 = '9', G729 = '18'}

-- Encryption is by SDES (RFC 4568) with AES in counter mode, and its keys go by signalling alone.
local SUITES = 'DTLS=off SDES-no-AEAD_AES_256_GCM SDES-no-AEAD_AES_128_GCM SDES-no-AES_256_CM_HMAC_SHA1_32'
  .. ' SDES-no-AES_192_CM_HMAC_SHA1_80 SDES-no-AES_192_CM_HMAC_SHA1_32 SDES-no-F8_128_HMAC_SHA1_80'
  .. ' SDES-no-F8_128_HMAC_SHA1_32 SDES-no-NULL_HMAC_SHA1_80 SDES-no-NULL_HMAC_SHA1_32'
local ENCRYPTED = 'RTP/SAVP ' .. SUITES
local OPPORTUNE = 'RTP/AVP OSRTP-offer ' .. SUITES
local PLAIN = 'RTP/AVP SDES-off'
local OFFERED = {off = PLAIN, optional = OPPORTUNE, required = ENCRYPTED}

local function has(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then
      return true
    end
  end
  return false
end

-- The codecs that pass from one trunk to another, in the order of the receiver; nil when all do.
local function passing(from, to)
  if #to.codecs == 0 then
    return #from.codecs > 0 and from.codecs or nil
  end
  local both = {}
  for _, codec in ipairs(to.codecs) do
    if #from.codecs == 0 or has(from.codecs, codec) then
      both[#both + 1] = codec
    end
  end
  return both
end

-- The codecs of which a sender must offer one; nil when any will do.
local function needed(from, to)
  if to.transcode then
    return #from.codecs > 0 and from.codecs or nil
  end
  return passing(from, to)
end

-- An expression that matches the descriptions of media that may go on, empty for all.
local function accepts(from, to)
  local codecs = needed(from, to)
  if not codecs then
    return ''
  end
  local types = {'none'}
  for _, codec in ipairs(codecs) do
    types[#types + 1] = STATIC[codec]
  end
  local static = ('m=audio [0-9]+ [^ ]+ ([0-9]+ )*(%s)([ \r\n]|$)'):format(table.concat(types, '|'))
  return ('%s|a=rtpmap:[0-9]+ (none|%s)/'):format(static, table.concat(codecs, '|'))
end

-- What is not offered on may still be translated from, unless the sender is not allowed it.
local function codec_flags(from, to)
  local codecs, flags = passing(from, to), {}
  local function put(flag, list)
    for _, codec in ipairs(list) do
      flags[#flags + 1] = flag .. codec
    end
  end
  if not codecs and not to.transcode then
    return ''
  end
  put(to.transcode and 'codec-mask-' or 'codec-strip-', {'all'})
  for _, codec in ipairs(to.transcode and #from.codecs > 0 and KNOWN or {}) do
    put('codec-strip-', has(from.codecs, codec) and {} or {codec})
  end
  put('codec-offer-', codecs or {})
  put('codec-offer-', BESIDES)
  put('codec-transcode-', to.transcode and to.codecs or {})
  return table.concat(flags, ' ')
end

-- rtpengine's flags for an offer from one trunk to another. `srtp` is how the receiver's media are encrypted now
-- (ENCRYPTED, OPPORTUNE or PLAIN), or how they may be.
local function offer(from, to, srtp)
  local between = 'direction=%s direction=%s address-family=IP%d'
  local believed = from.nat and 'SIP-source-address' or 'trust-address'
  local ways = between:format(from.interface, to.interface, to.family)
  return table.concat({ways, ALWAYS, believed, srtp, codec_flags(from, to)}, ' ')
end

-- How the receiver's media are encrypted, as Kamailio keeps it of a call.
local AGREED = {['0'] = PLAIN, ['1'] = ENCRYPTED, ['2'] = OPPORTUNE}

-- The flags for an offer between two trunks, disabled or not: from, to, and how the receiver's media are encrypted
-- ("" when that is not agreed yet).
local function media(_, arguments)
  local from, to = known_trunk(arguments[1]), known_trunk(arguments[2])
  if not from or not to then
    return false
  end
  return offer(from.media, to.media, AGREED[arguments[3]] or OFFERED[to.media.srtp])
end

-- Attempts ---------------------------------------------------------------------------------

-- What header rules come to, those of the route before those of the trunk: names to remove, each followed by a bar,
-- and the headers to add as they will stand in the message, under the prefix by which hide lets them pass.
local function header_rules(...)
  local names, lines = {}, {}
  for _, rules in ipairs({...}) do
    for _, rule in ipairs(rules) do
      if rule.action ~= 'add' then
        names[#names + 1] = rule.name .. '|'
        for index, line in ipairs(lines) do
          lines[index] = starts(line:lower(), 'hide-pass-' .. rule.name:lower() .. ':') and '' or line
        end
      end
      if rule.action ~= 'remove' then
        lines[#lines + 1] = 'hide-pass-' .. rule.name .. ': ' .. rule.value .. '\r\n'
      end
    end
  end
  return table.concat(names), table.concat(lines)
end

-- Who calls, as `identity_of` in the policy has it.
local function identity_of(source, caller, asserted, privacy)
  local hides = caller == '' or caller:lower() == 'anonymous'
  return {
    caller = hides and '' or to_e164(source.plan, caller),
    asserted = source.trusted and to_e164(source.plan, asserted) or '',
    private = privacy == 'id' or (hides and privacy == ''),
  }
end

-- What a trunk learns of who calls, as `shown` in the policy has it: in From, in P-Asserted-Identity, in Privacy.
local function shown(trunk, who)
  if trunk.caller_id == 'anonymous' or (who.private and not trunk.trusted) then
    return '', '', 'id'
  end
  local asserted = trunk.trusted and who.asserted or ''
  if trunk.caller_id == 'asserted' then
    asserted = who.asserted ~= '' and who.asserted or who.caller
  end
  local plan, format = trunk.plan, trunk.format
  return written(plan, who.caller, format), written(plan, asserted, format), who.private and 'id' or ''
end

-- An attempt: see ATTEMPT_FIELDS in sbc/kind/entries.py.
local function attempt(source, pair, route, number, who, emergency)
  local trunk = pair.trunk
  local dialled = emergency and number or apply(trunk.outward, written(trunk.plan, number, trunk.format))
  local here, there = source.media, trunk.media
  local remove, add = header_rules(route.headers or {}, trunk.headers or {})
  local caller, asserted, privacy = shown(trunk, who)
  return table.concat({
    pair.address.uri, dialled, caller, asserted, privacy, trunk.id,
    offer(here, there, OFFERED[there.srtp]), accepts(here, there), remove, add, trunk.calls,
  }, '\t')
end

local function find_emergency(...)
  for index, encoded in ipairs(redis.call('HMGET', 'sbc:emergency', ...)) do
    if encoded then
      return decode(encoded), ({...})[index]
    end
  end
end

-- What a record will say of a call that has arrived, first of the fields in CALL below.
local function told(trunk, route, emergency, caller, number)
  return table.concat({trunk, route, emergency and '1' or '0', caller, number}, '\t')
end

-- What is asked: side, source, proved trunk, draw and time; the number; what P-Asserted-Identity and Privacy say, From and
-- To. The answer: code, what is `told`, the settings of its trunk and of its route, then an attempt each.
local function decide(_, arguments)
  local side, source, known, draw, now = arguments[1]:match('^(.-)\t(.-)\t(.-)\t(.-)\t(.*)$')
  local asserted, privacy, caller, to = arguments[3]:match('^(.-)\t(.-)\t([^\t]*)\t?(.*)$')
  local id = not is_denied(side, source) and (known ~= '' and known or find_trunk_id(side, source))
  local trunk = id and trunk_by_id(id)
  if not trunk then
    return {'403', told('', '', false, caller, arguments[2]), '', ''}
  end
  -- A registrar may call the contact that was registered: the number is the one in To.
  local dialled = arguments[2]
  if trunk.contact ~= '' and to ~= '' and dialled == trunk.contact then
    dialled = to
  end
  local read = apply(trunk.inward, dialled)
  local route, number = find_emergency(dialled, read)
  local emergency = route ~= nil
  if not emergency then
    number = to_e164(trunk.plan, read)
    route = best_route(trunk.id, number, now ~= '' and tonumber(now) or tonumber(redis.call('TIME')[1]))
  end
  local who = identity_of(trunk, caller, asserted, privacy)
  caller = to_e164(trunk.plan, caller)
  if not route then
    return {'404', told(trunk.id, '', false, caller, number), trunk.calls, ''}
  end
  local answer = {'0', told(trunk.id, route.id or '', emergency, caller, number), trunk.calls, route.calls}
  for index, pair in ipairs(find_pairs(route.targets, tonumber(draw), emergency)) do
    if index > MOST_ATTEMPTS then
      break
    end
    answer[#answer + 1] = attempt(trunk, pair, route, number, who, emergency)
  end
  if #answer == 4 then
    answer[1] = '503'
  end
  return answer
end

-- Calls that stand, and records of those that ended -----------------------------------------

-- What Kamailio keeps of a call (in the one variable of its dialog), tab-separated; what is not known yet is empty.
-- `tried` has an item for each attempt, ended by a bar: trunk, URI and code, with blanks between. `nat_in` and
-- `nat_out` are where the messages of caller and callee come from, as URIs, when that counts and not what they say.
local CALL = {
  'from_trunk', 'route', 'emergency', 'caller', 'called', 'started', 'to_trunk', 'called_out', 'tried',
  'answered', 'codec', 'srtp_in', 'srtp_out', 'nat_in', 'nat_out', 'timer', 'least_timer',
}
-- And what it adds at the end.
local END = {'ended', 'code', 'cause', 'call_id_out'}
local QUALITY = {'loss', 'jitter', 'round_trip'}

local function split(text)
  local found = {}
  for part in (text .. '\t'):gmatch('(.-)\t') do
    found[#found + 1] = part
  end
  return found
end

local function named(names, parts, first)
  local found = {}
  for index, name in ipairs(names) do
    found[name] = parts[first + index - 1] or ''
  end
  return found
end

local function or_null(value)
  return value == '' and cjson.null or value
end

-- Unix time as seconds and a fraction, in milliseconds.
local function milliseconds(time)
  return time ~= '' and math.floor(tonumber(time) * 1000) or cjson.null
end

-- The E-model (ITU-T G.107), as sbc/probe/emodel.py has it: default values but for delay (one way, ms), loss (%), and
-- what a codec costs and how well it bears loss (G.113, appendix I). A codec without such values has no score.
local SIGNAL_TO_NOISE, SIMULTANEOUS = 94.769, 1.414
local TALKER_ECHO_LOUDNESS, ECHO_PATH_LOSS = 65, 110
local IMPAIRMENT = {PCMA = {0, 25.1}, PCMU = {0, 25.1}, G729 = {11, 19}}

local function talker_echo(delay)
  local heard = TALKER_ECHO_LOUDNESS - 40 * math.log10((1 + delay / 10) / (1 + delay / 150))
  heard = heard + 6 * math.exp(-0.3 * delay ^ 2)
  local half = (SIGNAL_TO_NOISE - (80 + 2.5 * (heard - 14))) / 2
  return (half + math.sqrt(half ^ 2 + 100) - 1) * (1 - math.exp(-delay))
end

local function listener_echo(round_trip)
  local half = (SIGNAL_TO_NOISE - 10.5 * (ECHO_PATH_LOSS + 7) / (round_trip + 1) ^ 0.25) / 2
  return half + math.sqrt(half ^ 2 + 169)
end

local function bend(value)
  return (1 + value ^ 6) ^ (1 / 6)
end

local function waiting(delay)
  if delay <= 100 then
    return 0
  end
  local x = math.log(delay / 100) / math.log(2)
  return 25 * (bend(x) - 3 * bend(x / 3) + 2)
end

-- The mean opinion score to two decimals, 1 to 4.5; nil without figures for the codec.
local function opinion(codec, loss, delay)
  local figures = IMPAIRMENT[codec]
  if not figures then
    return nil
  end
  local r = SIGNAL_TO_NOISE - SIMULTANEOUS - talker_echo(delay) - listener_echo(2 * delay) - waiting(delay)
  r = math.max(r - figures[1] - (95 - figures[1]) * loss / (loss + figures[2]), 0)
  local score = math.max(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1)
  return math.floor(score * 100 + 0.5) / 100
end

local function quality(codec, parts, first)
  local told_us = named(QUALITY, parts, first)
  local loss, jitter, round_trip = tonumber(told_us.loss), tonumber(told_us.jitter), tonumber(told_us.round_trip)
  if not loss or not jitter then
    return cjson.null
  end
  -- rtpengine gives round trips in microseconds, and 0 when no report has told one.
  round_trip = round_trip and round_trip > 0 and round_trip / 1000
  -- A receiver waits for twice the jitter before it plays.
  local mos = opinion(codec, loss, (round_trip or 0) / 2 + 2 * jitter)
  return {mos = mos or cjson.null, loss = loss, jitter = jitter, round_trip = round_trip or cjson.null}
end

local function is_encrypted(srtp)
  return AGREED[srtp] ~= nil and AGREED[srtp] ~= PLAIN
end

local function attempts(tried)
  local found = {}
  for trunk, uri, code in tried:gmatch('(%S+) (%S+) (%d+)|') do
    found[#found + 1] = cjson.encode({trunk = trunk, uri = uri, code = tonumber(code)})
  end
  return '[' .. table.concat(found, ',') .. ']'
end

-- A call's name for ever: when it began, and which dialog it was.
local function call_id(call, dialog)
  return ('%d-%s'):format(milliseconds(call.started), dialog:gsub(':', '-'))
end

-- What is told of a call with the fields that CALL has by now: one that began before an upgrade was kept with fewer.
local function completed(parts)
  local whole = #CALL + #END
  if #parts > whole then
    whole = whole + 2 * #QUALITY
  end
  for index = #CALL - (whole - #parts) + 1, #CALL do
    table.insert(parts, index, '')
  end
  return parts
end

local function record(dialog, callid, parts)
  local call, last = named(CALL, parts, 1), named(END, parts, #CALL + 1)
  local id = call_id(call, dialog)
  local heard = {
    caller = quality(call.codec, parts, #CALL + #END + 1),
    callee = quality(call.codec, parts, #CALL + #END + #QUALITY + 1),
  }
  local body = cjson.encode({
    id = id,
    call_id = callid,
    call_id_out = or_null(call.to_trunk ~= '' and last.call_id_out or ''),
    started = milliseconds(call.started),
    answered = milliseconds(call.answered),
    ended = milliseconds(last.ended),
    caller = call.caller,
    called = call.called,
    called_out = or_null(call.called_out),
    from_trunk = call.from_trunk,
    to_trunk = or_null(call.to_trunk),
    route = or_null(call.route),
    emergency = call.emergency == '1',
    code = tonumber(last.code),
    cause = last.cause,
    codec = or_null(call.codec),
    srtp_in = is_encrypted(call.srtp_in),
    srtp_out = is_encrypted(call.srtp_out),
    quality = heard,
  })
  -- An empty list is an object to this encoder.
  return id, body:sub(1, -2) .. ',"attempts":' .. attempts(call.tried) .. '}', call, last.cause, heard
end

-- How the end heard the call that heard it worse, as MOS; nil when neither told.
local function worst(heard)
  local found
  for _, of_end in pairs(heard) do
    local mos = of_end ~= cjson.null and of_end.mos ~= cjson.null and of_end.mos
    found = mos and (not found or mos < found) and mos or found
  end
  return found
end

-- Counts for `pace` a call that ended, of all (`*`) and of both its trunks: that it was answered, or why not, and the
-- MOS in hundredths with how many had one. The platform's own test calls are not counted.
local function count(call, cause, heard)
  if starts(call.from_trunk, 'probe:') then
    return
  end
  local how, mos = call.answered ~= '' and ' answered' or ' ' .. cause, worst(heard)
  for _, name in ipairs({'*', call.from_trunk, call.to_trunk}) do
    if name ~= '' then
      redis.call('HINCRBY', 'live:ended', name .. how, 1)
      if mos then
        redis.call('HINCRBY', 'live:ended', name .. ' heard', 1)
        redis.call('HINCRBY', 'live:ended', name .. ' mos', math.floor(mos * 100 + 0.5))
      end
    end
  end
end

-- What was counted since this was asked last: milliseconds since then (empty the first time), then "<trunk> <what>" and a
-- number each. It is forgotten thereby.
local function pace()
  redis.call('SELECT', 0)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local last = redis.call('SET', 'live:paced', ('%d'):format(now), 'GET')
  local answer = redis.call('HGETALL', 'live:ended')
  redis.call('DEL', 'live:ended')
  table.insert(answer, 1, last and ('%d'):format(now - last) or '')
  return answer
end

redis.register_function('pace', pace)

-- Takes a call's rows away; and the sets beside them that were written before an upgrade.
local function forget(dialog, callid)
  redis.call('SELECT', 1)
  redis.call('UNLINK', 'dialog:entry::' .. dialog, 'dialog_vars:entry::' .. dialog .. ':call',
    'dialog_vars:dialog::' .. dialog, 'dialog:cid::' .. callid, 'dialog_vars::index::dialog', 'dialog::index::cid')
end

-- The end of a call: its record is appended and what Kamailio had written of its dialog removed, both
-- or neither, so that a call is either standing or recorded. Kamailio itself would remove it seconds later.
-- Told twice, it appends twice, with the same key. First argument: dialog and Call-ID, second: CALL, END and
-- the QUALITY of caller and callee.
local function ended(_, arguments)
  local dialog, callid = arguments[1]:match('^(%S+) (.*)$')
  local id, body, call, cause, heard = record(dialog, callid, completed(split(arguments[2])))
  redis.call('SELECT', 0)
  redis.call('XADD', 'records', '*', 'key', id, 'body', body)
  count(call, cause, heard)
  forget(dialog, callid)
end

redis.register_function('ended', ended)

-- Every call that Kamailio has written: dialog (entry:id) and what it keeps of it, and so on.
local function standing_calls()
  local found, cursor = {}, '0'
  redis.call('SELECT', 1)
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', 'dialog_vars:entry:*:call', 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      found[#found + 1] = key:sub(#'dialog_vars:entry::' + 1, -#':call' - 1)
      found[#found + 1] = redis.call('HGET', key, 'dialog_value') or ''
    end
  until cursor == '0'
  return found
end

-- The calls that have lost their media: rtpengine had written the call, and has taken it away while its dialog stands, which it
-- does by itself when nothing was heard for too long. Dialogs, each as entry:id. One whose call was never seen here is
-- left alone: what a store that is full did not take is no sign of anything.
local function silent()
  local seen, kept, answer = {}, {}, {}
  redis.call('SELECT', 0)
  for _, dialog in ipairs(redis.call('SMEMBERS', 'live:media')) do
    seen[dialog] = true
  end
  local cursor = '0'
  repeat
    redis.call('SELECT', 1)
    local page = redis.call('SCAN', cursor, 'MATCH', 'dialog:entry::*', 'COUNT', 1000)
    cursor = page[1]
    local rows = {}
    for _, key in ipairs(page[2]) do
      local row = redis.call('HMGET', key, 'state', 'callid')
      if row[1] == '4' and row[2] then
        rows[#rows + 1] = {key:sub(#'dialog:entry::' + 1), row[2]}
      end
    end
    redis.call('SELECT', 2)
    for _, row in ipairs(rows) do
      local there = redis.call('EXISTS', row[2]) == 1
      kept[row[1]] = there or seen[row[1]]
      if seen[row[1]] and not there then
        answer[#answer + 1] = row[1]
      end
    end
  until cursor == '0'
  redis.call('SELECT', 0)
  for dialog in pairs(kept) do
    if not seen[dialog] then
      redis.call('SADD', 'live:media', dialog)
    end
  end
  for dialog in pairs(seen) do
    if not kept[dialog] then
      redis.call('SREM', 'live:media', dialog)
    end
  end
  return answer
end

redis.register_function('silent', silent)

-- How many calls each trunk, and `*` in all, had when Kamailio last wrote its dialogs: name, number and so on.
local function standing()
  local counts, calls = {}, standing_calls()
  for index = 2, #calls, 2 do
    local call = named(CALL, split(calls[index]), 1)
    for _, name in ipairs({'*', call.from_trunk, call.to_trunk}) do
      counts[name] = (counts[name] or 0) + 1
    end
  end
  local answer = {}
  for name, number in pairs(counts) do
    if name ~= '' then
      answer[#answer + 1] = name
      answer[#answer + 1] = tostring(number)
    end
  end
  return answer
end

-- How the SBC proves itself to a trunk that asks for it within a call: user, realm and password, nothing where it has none.
local function proof(_, arguments)
  local trunk = known_trunk(arguments[1])
  local calls = trunk and split(trunk.calls)
  if not calls or calls[5] == '' then
    return false
  end
  return table.concat(calls, '\t', 5, 7)
end

-- Where NATs must be kept from forgetting us: pairs of a socket of ours and a URI, each once. Over TCP the kernel does it.
local function bindings()
  local answer, known = {}, {}
  local function add(id, uri)
    local trunk = uri ~= '' and not uri:find(';transport=t', 1, true) and known_trunk(id)
    local socket = trunk and split(trunk.calls)[1]
    if socket and not known[socket .. uri] then
      known[socket .. uri] = true
      answer[#answer + 1] = socket
      answer[#answer + 1] = uri
    end
  end
  redis.call('SELECT', 0)
  local trunks = redis.call('SMEMBERS', 'sbc:nat')
  for _, id in ipairs(trunks) do
    local trunk = known_trunk(id)
    for _, named in ipairs(trunk and trunk.addresses or {}) do
      for _, address in ipairs(found(trunk, named, 1)) do
        add(id, address.uri)
      end
    end
  end
  local calls = #trunks > 0 and standing_calls() or {}
  redis.call('SELECT', 0)
  for index = 2, #calls, 2 do
    local call = named(CALL, split(calls[index]), 1)
    add(call.from_trunk, call.nat_in)
    add(call.to_trunk, call.nat_out)
  end
  return answer
end

redis.register_function{function_name = 'bindings', callback = bindings, flags = {'no-writes'}}
redis.register_function{function_name = 'standing', callback = standing, flags = {'no-writes'}}
redis.register_function{
  -- How good media are, as JSON: of a codec, loss, jitter and round trip.
  function_name = 'quality',
  callback = function(_, arguments) return cjson.encode(quality(arguments[1], arguments, 2)) end,
  flags = {'no-writes'},
}
redis.register_function{function_name = 'proof', callback = proof, flags = {'no-writes'}}
redis.register_function{function_name = 'media', callback = media, flags = {'no-writes'}}
redis.register_function{function_name = 'decide', callback = decide, flags = {'no-writes'}}
-- The bans in force: address, then reason, since and until.
local function bans()
  local answer, cursor = {}, '0'
  redis.call('SELECT', 0)
  repeat
    local found = redis.call('SCAN', cursor, 'MATCH', 'live:ban:*', 'COUNT', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do
      answer[#answer + 1] = key:sub(10)
      answer[#answer + 1] = redis.call('GET', key)
    end
  until cursor == '0'
  return answer
end

redis.register_function{function_name = 'bans', callback = bans, flags = {'no-writes'}}
redis.register_function{function_name = 'standing_of', callback = standing_of, flags = {'no-writes'}}
