-- Budgets in Redis: the arithmetic of meter.py and book.py, on the server and by the server's clock.
-- KEYS: the keys of the call's budgets, then those of gates that are no budget; of `acquire` the last is the
-- generation, which stands until everything is lost.
-- ARGV, as redis_call.py packs it: what to do; the plan (12 letters for its line, a number for each cost, a byte
-- for the place of each gate) and the limits of each budget, of `acquire`, `confirm` and `count` only; and what
-- changes from call to call: a name of 16 bytes, a number, and the time where a test tells it.
-- Times are seconds; answers are text, to keep fractions.

local COUNTED_WITHIN, LEASE, LOOK_AGAIN, LOST_AFTER = 10, 300, 0.05, 5
local ORDINARY_DAY, CLOCKS_DIFFER = 86400, 1
local DUST, COARSE_ABOVE, RESOLUTION, TRIM_STEP = 1e-9, 1024, 1024, 32
local WINDOW, DAY, BUCKET, FLIGHT = 0, 1, 2, 3
local read, bytes_of = struct.unpack, struct.pack
local op, said = ARGV[1], ARGV[#ARGV]
local name, number = said:sub(1, 16), read('<d', said, 17)
local now
if #said > 24 then
  now = read('<d', said, 25)
else
  local clock = redis.call('TIME')
  now = clock[1] + clock[2] / 1e6
end

-- The usual case -----------------------------------------------------------------------------------------
-- What is kept of a key is one text: gate, arrivals, the cost on its way, how crowded the log may be, and how many
-- bytes each of the parts has that follow. Those are: the limits; for each limit a level and its moment, if there are
-- buckets; the log's moments; their running totals, where not all costs are 1; what is booked, for which no length
-- stands; and for each request on its way its name, moment and cost. So a look at a few numbers costs no reading of
-- all. When nobody waits and no gate is closed, a call goes at once in a few lines, and so is every response counted.
-- Everything else takes the long way below, whose many functions are not even made here: that would take longer than
-- running these lines.

local HEADER, HEAD = '<dddI4I4I4I4I4I4', 48
local LIMITS, LIMITS_HEAD = '<Bddd', 25
local IN_FLIGHT = 32

-- Whether of the log, which ends at a total of `all`, so much was counted by the moment.
local function was_counted(text, log, n_log, n_totals, wanted, moment)
  local index = wanted
  if n_totals > 0 then
    local low, high = 1, n_totals / 8 + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if read('<d', text, log + n_log + 8 * middle - 7) >= wanted then high = middle else low = middle + 1 end
    end
    index = low
  end
  return index <= n_log / 8 and read('<d', text, log + 8 * index - 7) <= moment
end

local function go_at_once()
  local texts, parts, order = redis.call('MGET', unpack(KEYS)), {}, 0
  local plan, budgets, generation = ARGV[2], #ARGV - 3, texts[#KEYS]
  if not generation then return end
  for index = 1, #KEYS - 1 do
    local text = texts[index]
    if index > budgets then
      if text and read('<d', text) > now then return end
    else
      local limits, cost = ARGV[2 + index], read('<d', plan, 8 * index + 5)
      local count, patience, longest, lasts, at = read(LIMITS, limits)
      local gate, arrivals, held, crowded, n_limits = 0, 0, 0, COARSE_ABOVE, #limits
      local n_levels, n_log, n_totals, n_flying, all, log = 0, 0, 0, 0, 0, HEAD
      if text then
        gate, arrivals, held, crowded, n_limits, n_levels, n_log, n_totals, n_flying = read(HEADER, text)
        log = HEAD + n_limits + n_levels
        local flying = log + n_log + n_totals
        -- A text that is longer has bookings.
        if gate > now or #text > flying + n_flying or text:find(limits, HEAD + 1, true) ~= HEAD + 1 then return end
        if n_flying > 0 then
          if read('<d', text, flying + 17) + patience <= now then return end
          -- The client may ask once more when the response was lost.
          if text:find(name, flying + 1, true) then return end
        end
        all = n_totals > 0 and read('<d', text, flying - 7) or n_log / 8
      end
      for place = 1, count do
        local kind, most, first, second
        kind, most, first, second, at = read(LIMITS, limits, at)
        if kind <= DAY then
          local wanted, start = all + held + cost - most, now - first
          if kind == DAY then
            if now - CLOCKS_DIFFER < first or now - CLOCKS_DIFFER >= second then return end
            start = first - CLOCKS_DIFFER
          end
          if wanted > 0 and not was_counted(text, log, n_log, n_totals, wanted, start) then return end
        elseif kind == BUCKET then
          if n_levels == 0 then return end
          local level, since = read('<dd', text, HEAD + n_limits + 16 * place - 15)
          if math.min(most, level + math.max(0, now - since) * first) - held < cost - DUST then return end
        elseif held + cost > most then
          return
        end
      end
      local rest = text and text:sub(HEAD + 1) or limits
      if n_log >= 8 * TRIM_STEP and read('<d', text, log + 8 * TRIM_STEP - 7) <= now - longest then
        if n_totals > 0 then return end
        n_log = n_log - 8 * TRIM_STEP
        rest = text:sub(HEAD + 1, log) .. text:sub(log + 8 * TRIM_STEP + 1)
      end
      if arrivals > order then order = arrivals end
      parts[index] = {gate, held + cost, crowded, n_limits, n_levels, n_log, n_totals, n_flying + IN_FLIGHT, rest,
        bytes_of('<dd', now, cost), lasts}
    end
  end
  order = order + 1
  for index, part in ipairs(parts) do
    local text = bytes_of(HEADER, part[1], order, part[2], part[3], part[4], part[5], part[6], part[7], part[8])
      .. part[9] .. name .. part[10]
    if #said > 24 then
      redis.call('SET', KEYS[index], text)
    else
      redis.call('SET', KEYS[index], text, 'PX', part[11])
    end
  end
  return bytes_of('<d', order) .. generation
end

local function count_at_once()
  local texts = redis.call('MGET', unpack(KEYS))
  for index, text in ipairs(texts) do
    if not text then return end
    local gate, arrivals, held, crowded, n_limits, n_levels, n_log, n_totals, n_flying = read(HEADER, text)
    local count, patience, longest, _, at = read(LIMITS, text, HEAD + 1)
    local levels = HEAD + n_limits
    local log = levels + n_levels
    local totals = log + n_log
    local booked, flying = totals + n_totals, #text - n_flying
    local found = text:find(name, flying + 1, true)
    if not found or (found - flying - 1) % IN_FLIGHT > 0 then return end
    -- The first was sent first; if it counts as answered by now, the long way counts it before this one.
    if read('<d', text, flying + 17) + patience <= now then return end
    local cost = read('<d', text, found + 24)
    local moment, total = '', ''
    if longest > 0 then
      if n_log / 8 >= crowded or (cost ~= 1 and n_totals == 0) then return end
      if n_log > 0 and read('<d', text, totals - 7) > now then return end
      moment = bytes_of('<d', now)
      if n_totals > 0 then total = bytes_of('<d', read('<d', text, booked - 7) + cost) end
    end
    local before = text:sub(HEAD + 1, totals)
    if n_levels > 0 then
      local parts = {text:sub(HEAD + 1, levels)}
      for place = 1, count do
        local kind, burst, rate, _
        kind, burst, rate, _, at = read(LIMITS, text, at)
        local level, since = read('<dd', text, levels + 16 * place - 15)
        if kind == BUCKET then
          if now > since then level, since = math.min(burst, level + (now - since) * rate), now end
          level = level - cost
        end
        parts[place + 1] = bytes_of('<dd', level, since)
      end
      before = table.concat(parts) .. text:sub(log + 1, totals)
    end
    texts[index] = bytes_of(HEADER, gate, arrivals, held - cost, crowded, n_limits, n_levels, n_log + #moment,
      n_totals + #total, n_flying - IN_FLIGHT) .. before .. moment .. text:sub(totals + 1, booked) .. total
      .. text:sub(booked + 1, found - 1) .. text:sub(found + IN_FLIGHT)
  end
  -- It is kept for longer already than a request on its way may count.
  for index, text in ipairs(texts) do redis.call('SET', KEYS[index], text, 'KEEPTTL') end
  return true
end

if op == 'acquire' then
  local answer = go_at_once()
  if answer then return answer end
elseif op == 'settle' then
  if count_at_once() then return end
end

-- The long way -------------------------------------------------------------------------------------------

local call, budgets = {name = name, costs = {}, gates = {}}, #KEYS
if op == 'acquire' or op == 'confirm' or op == 'count' then
  local plan = ARGV[2]
  budgets, call.line = #ARGV - 3, plan:sub(1, 12)
  for index = 1, budgets do call.costs[index] = read('<d', plan, 8 * index + 5) end
  for place = 13 + 8 * budgets, #plan do call.gates[#call.gates + 1] = plan:byte(place) end
end

-- How many of the first entries of a sorted list are at or before x.
local function upto(list, x)
  local low, high = 0, #list
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if list[middle] <= x then low = middle else high = middle - 1 end
  end
  return low
end

local function after(moment, span)
  local stop = moment + span
  while stop - span < moment do stop = stop + 2.5e-7 end
  return stop
end

-- meters ----------------------------------------------------------------------------------------------

local function fresh()
  return {log = {}, levels = {}, flying = {}, booked = {}, gate = 0, arrivals = 0, crowded = COARSE_ABOVE}
end

local function total(meter, index)
  if index == 0 then return 0 end
  return meter.totals and meter.totals[index] or index
end

local function through(meter, x) return total(meter, upto(meter.log, x)) end

local function reaching(meter, wanted)
  if not meter.totals then return meter.log[wanted] end
  return meter.log[upto(meter.totals, wanted - 1) + 1]
end

local function queue_reaching(queue, wanted) return queue.times[upto(queue.totals, wanted - 1) + 1] end

local function queue_before(queue, x)
  local index = upto(queue.times, x)
  while index > 0 and queue.times[index] == x do index = index - 1 end
  return index > 0 and queue.totals[index] or 0
end

local function queue_through(queue, x)
  local index = upto(queue.times, x)
  return index > 0 and queue.totals[index] or 0
end

local function level_at(meter, limit, moment)
  local known = meter.levels[limit[4]]
  if not known then return limit[2], moment end
  if moment > known[2] then return math.min(limit[2], known[1] + (moment - known[2]) * limit[3]), moment end
  return known[1], known[2]
end

local function need_totals(meter)
  if not meter.totals then
    meter.totals = {}
    for index = 1, #meter.log do meter.totals[index] = index end
  end
end

local function coarsen(meter, moment)
  need_totals(meter)
  local times, totals, first = {}, {}, -1
  for index, time in ipairs(meter.log) do
    local span = meter.longest
    for _, limit in ipairs(meter.limits) do
      local long = limit[1] == DAY and ORDINARY_DAY or limit[1] == WINDOW and limit[3] or 0
      if long > moment - time and long < span then span = long end
    end
    if #times > 0 and time - first <= span / RESOLUTION then
      times[#times], totals[#totals] = time, meter.totals[index]
    else
      first = time
      times[#times + 1], totals[#totals + 1] = time, meter.totals[index]
    end
  end
  meter.log, meter.totals, meter.crowded = times, totals, math.max(COARSE_ABOVE, 2 * #times)
end

local function count(meter, moment, cost)
  if meter.longest > 0 then
    if cost ~= 1 then need_totals(meter) end
    local place = upto(meter.log, moment) + 1
    table.insert(meter.log, place, moment)
    if meter.totals then
      table.insert(meter.totals, place, total(meter, place - 1))
      for index = place, #meter.totals do meter.totals[index] = meter.totals[index] + cost end
    end
    if #meter.log > meter.crowded then coarsen(meter, moment) end
  end
  for _, limit in ipairs(meter.limits) do
    if limit[1] == BUCKET then
      local level, since = level_at(meter, limit, moment)
      meter.levels[limit[4]] = {level - cost, since}
    end
  end
end

local function remove(list, field, name)
  for index, entry in ipairs(list) do
    if entry[field] == name then return table.remove(list, index) end
  end
end

local function book(meter, entry)
  local index = #meter.booked
  while index > 0 and (meter.booked[index][1] > entry[1]
      or (meter.booked[index][1] == entry[1] and meter.booked[index][2] > entry[2])) do index = index - 1 end
  table.insert(meter.booked, index + 1, entry)
end

local function tidy(meter)
  meter.flying_cost = 0
  local flying = {}
  for _, entry in ipairs(meter.flying) do
    if entry[2] + meter.patience <= now then
      count(meter, entry[2] + meter.patience, entry[3])
    else
      flying[#flying + 1] = entry
      meter.flying_cost = meter.flying_cost + entry[3]
    end
  end
  meter.flying = flying
  local gone = upto(meter.log, now - meter.longest)
  if gone == #meter.log then
    meter.log, meter.totals = {}, nil
  elseif gone > 0 then
    local log, totals, before = {}, meter.totals and {}, total(meter, gone)
    for index = gone + 1, #meter.log do
      log[#log + 1] = meter.log[index]
      if totals then totals[#totals + 1] = meter.totals[index] - before end
    end
    meter.log, meter.totals = log, totals
  end
  local kept = {}
  for _, entry in ipairs(meter.booked) do
    if entry[5] + LOST_AFTER >= now then kept[#kept + 1] = entry end
  end
  meter.booked = kept
end

-- The limits as redis_call.py packs them: each as kind, most, span or rate, label; of a day the third is midnights.
local function limits_of(bytes)
  local count, patience, longest, _, at = read(LIMITS, bytes)
  local limits, rest = {}, cjson.decode(bytes:sub(at + LIMITS_HEAD * count))
  for place = 1, count do
    local kind, most, first, _ = read(LIMITS, bytes, at + LIMITS_HEAD * (place - 1))
    limits[place] = {kind, most, kind == DAY and rest[place][2] or first, rest[place][1]}
  end
  return limits, patience, longest
end

local function apply(meter, bytes)
  meter.packed, meter.most = bytes, math.huge
  meter.limits, meter.patience, meter.longest = limits_of(bytes)
  local labels = {}
  for _, limit in ipairs(meter.limits) do
    if limit[1] == BUCKET then labels[limit[4]] = true end
    meter.most = math.min(meter.most, limit[2])
  end
  for label in pairs(meter.levels) do if not labels[label] then meter.levels[label] = nil end end
end

local AT_ONCE = 100

local function numbers_in(bytes)
  local numbers, count = {}, #bytes / 8
  for first = 1, count, AT_ONCE do
    local few = math.min(AT_ONCE, count - first + 1)
    local found = {read('<' .. string.rep('d', few), bytes, 8 * first - 7)}
    for index = 1, few do numbers[first + index - 1] = found[index] end
  end
  return numbers
end

local function packed(numbers)
  local parts = {}
  for first = 1, #numbers, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, #numbers)
    parts[#parts + 1] = bytes_of('<' .. string.rep('d', last - first + 1), unpack(numbers, first, last))
  end
  return table.concat(parts)
end

-- The meter of a text, and the bytes of the limits that it was counted by.
local function meter_of(text)
  local at, meter = HEAD, fresh()
  local function part(length)
    at = at + length
    return text:sub(at - length + 1, at)
  end
  local gate, arrivals, _, crowded, n_limits, n_levels, n_log, n_totals, n_flying = read(HEADER, text)
  meter.gate, meter.arrivals, meter.crowded = gate, arrivals, crowded
  local limits, levels, log, totals = part(n_limits), part(n_levels), part(n_log), part(n_totals)
  local booked, flying = part(#text - at - n_flying), part(n_flying)
  meter.log = numbers_in(log)
  if n_totals > 0 then meter.totals = numbers_in(totals) end
  if #booked > 0 then meter.booked = cmsgpack.unpack(booked) end
  if n_levels > 0 then
    for place, limit in ipairs((limits_of(limits))) do
      if limit[1] == BUCKET then meter.levels[limit[4]] = {read('<dd', levels, 16 * place - 15)} end
    end
  end
  for first = 1, n_flying, IN_FLIGHT do
    local sent, cost = read('<dd', flying, first + 16)
    meter.flying[#meter.flying + 1] = {flying:sub(first, first + 15), sent, cost}
  end
  return meter, limits
end

local function text_of(meter)
  local levels, flying, has_buckets = {}, {}, false
  for place, limit in ipairs(meter.limits) do
    local known = limit[1] == BUCKET and (meter.levels[limit[4]] or {limit[2], 0}) or {0, 0}
    has_buckets = has_buckets or limit[1] == BUCKET
    levels[place] = bytes_of('<dd', known[1], known[2])
  end
  for index, entry in ipairs(meter.flying) do flying[index] = entry[1] .. bytes_of('<dd', entry[2], entry[3]) end
  levels, flying = has_buckets and table.concat(levels) or '', table.concat(flying)
  local log, totals = packed(meter.log), meter.totals and packed(meter.totals) or ''
  return bytes_of(HEADER, meter.gate, meter.arrivals, meter.flying_cost, meter.crowded, #meter.packed, #levels, #log,
    #totals, #flying) .. meter.packed .. levels .. log .. totals
    .. (#meter.booked > 0 and cmsgpack.pack(meter.booked) or '') .. flying
end

local NO_LIMITS = bytes_of(LIMITS, 0, COUNTED_WITHIN, 0, 0) .. '[]'

local function load(key, limits)
  local text = redis.call('GET', key)
  local meter, known = fresh(), NO_LIMITS
  if text then meter, known = meter_of(text) end
  apply(meter, limits or known)
  tidy(meter)
  return meter
end

local function save(key, meter)
  local kept = meter.gate
  for _, entry in ipairs(meter.flying) do kept = math.max(kept, entry[2] + meter.patience + meter.longest) end
  if #meter.booked > 0 then kept = math.max(kept, meter.booked[#meter.booked][1] + COUNTED_WITHIN + meter.longest) end
  if #meter.log > 0 then kept = math.max(kept, meter.log[#meter.log] + meter.longest) end
  for _, limit in ipairs(meter.limits) do
    if limit[1] == BUCKET then
      local level, since = level_at(meter, limit, now)
      kept = math.max(kept, since + (limit[2] - level + meter.flying_cost + #meter.booked) / limit[3])
    end
  end
  if kept <= now then
    redis.call('DEL', key)
  elseif #said > 24 then
    redis.call('SET', key, text_of(meter))
  else
    redis.call('SET', key, text_of(meter), 'PX', math.ceil((kept - now) * 1000))
  end
end

-- the earliest moment ---------------------------------------------------------------------------------

local function queue_of(meter, before)
  local queue, sum = {times = {}, totals = {}}, 0
  for _, entry in ipairs(meter.booked) do
    if not before or entry[2] < before then
      sum = sum + entry[6]
      queue.times[#queue.times + 1] = math.max(now, entry[1])
      queue.totals[#queue.totals + 1] = sum
    end
  end
  return queue
end

local function within(meter, queue, stop, span)
  local start = stop - span
  if start < now then
    return total(meter, #meter.log) - through(meter, start) + meter.flying_cost + queue_through(queue, stop)
  end
  return queue_through(queue, stop) - queue_through(queue, start)
end

local function leaving(meter, queue, start, over)
  if start >= now then return queue_reaching(queue, queue_through(queue, start) + over) end
  local seen, all = through(meter, start), total(meter, #meter.log)
  if seen + over <= all then return reaching(meter, seen + over) end
  over = over - (all - seen + meter.flying_cost)
  if over <= 0 then return now end
  return math.max(now, queue_reaching(queue, over))
end

local function in_window(meter, queue, limit, start, cost)
  local span, room, moment = limit[3], limit[2] - cost, start
  while true do
    local over = within(meter, queue, moment, span) - room
    if over > 0 then
      moment = after(leaving(meter, queue, moment - span, over), span)
    else
      local late
      for index = #queue.times, upto(queue.times, moment) + 1, -1 do
        local time = queue.times[index]
        if time < moment + span and within(meter, queue, time, span) > room then late = time break end
      end
      if not late then return moment end
      moment = late
    end
  end
end

local function in_bucket(meter, queue, limit, start, cost)
  local burst, rate = limit[2], limit[3]
  local level = level_at(meter, limit, now) - meter.flying_cost - queue_through(queue, now)
  local first, last = upto(queue.times, now) + 1, #queue.times
  local needs, following = {[last + 1] = 0}, math.huge
  for index = last, first, -1 do
    local taken = queue.totals[index] - (index > 1 and queue.totals[index - 1] or 0)
    local rest = needs[index + 1] > 0 and needs[index + 1] - (following - queue.times[index]) * rate or 0
    needs[index] = taken + math.max(0, rest)
    following = queue.times[index]
  end
  local since = now
  for index = first, last + 1 do
    local moment = queue.times[index] or math.huge
    if moment > start then
      local at = math.max(start, since)
      local have = math.min(burst, level + (at - since) * rate)
      if have < cost - DUST then at, have = at + (cost - have) / rate, cost end
      local spare = moment == math.huge and burst or math.min(burst, have - cost + (moment - at) * rate)
      if at <= moment and spare >= needs[index] - DUST then return at end
    end
    if index <= last then
      local taken = queue.totals[index] - (index > 1 and queue.totals[index - 1] or 0)
      level = math.min(burst, level + (moment - since) * rate) - taken
      since = moment
    end
  end
  return math.huge
end

-- What is after the first may count in the day that may be used at a moment; the second is its end.
local function day_around(limit, moment)
  local list = limit[3]
  local at = moment - CLOCKS_DIFFER
  local index = upto(list, at)
  local begin, stop = list[index], list[index + 1]
  if not begin then
    begin = list[1] - math.ceil((list[1] - at) / ORDINARY_DAY) * ORDINARY_DAY
    stop = begin + ORDINARY_DAY
  elseif not stop then
    begin = begin + math.floor((at - begin) / ORDINARY_DAY) * ORDINARY_DAY
    stop = begin + ORDINARY_DAY
  end
  return begin - CLOCKS_DIFFER, stop + CLOCKS_DIFFER + 1e-6
end

local function in_day(meter, queue, limit, start, cost)
  local moment = start
  while true do
    local begin, stop = day_around(limit, moment)
    local used = queue_before(queue, stop)
    if begin <= now then
      used = used + total(meter, #meter.log) - through(meter, begin) + meter.flying_cost
    else
      used = used - queue_before(queue, begin)
    end
    if used + cost <= limit[2] then return moment end
    moment = stop
  end
end

local function in_flight(meter, queue, limit, start, cost)
  if meter.flying_cost + queue_through(queue, now) + cost <= limit[2] then return start end
  local waiting = queue.totals[#queue.totals] or 0
  return math.max(start, now + LOOK_AGAIN * (1 + waiting / limit[2]))
end

local find = {[WINDOW] = in_window, [DAY] = in_day, [BUCKET] = in_bucket, [FLIGHT] = in_flight}

local function earliest(meters, costs, order, line, before)
  local at, label = now, 'Retry-After'
  for _, index in ipairs(call.gates) do
    local gate = meters[index].gate
    if gate > at then at = gate end
  end
  local queues, quiet = {}, true
  for index = 1, #costs do
    local meter = meters[index]
    queues[index] = queue_of(meter, before)
    if #meter.booked > 0 then
      quiet = false
      for place = #meter.booked, 1, -1 do
        local entry = meter.booked[place]
        if entry[2] < order and entry[4] == line then
          if entry[1] > at then at = entry[1] end
          break
        end
      end
    end
    if costs[index] > meter.most then
      for _, limit in ipairs(meter.limits) do
        if limit[2] < costs[index] then return math.huge, limit[4] end
      end
    end
  end
  while true do
    local start = at
    for index, cost in ipairs(costs) do
      for _, limit in ipairs(meters[index].limits) do
        local found = find[limit[1]](meters[index], queues[index], limit, at, cost)
        if found > at then at, label = found, limit[4] end
      end
    end
    if quiet or at == start then return at, label end
  end
end

-- what a caller asks ------------------------------------------------------------------------------------

local function all_meters()
  local meters = {}
  for index = 1, #KEYS - (op == 'acquire' and 1 or 0) do
    meters[index] = load(KEYS[index], call.costs[index] and ARGV[2 + index])
  end
  return meters
end

local function send(meters)
  for index, cost in ipairs(call.costs) do
    table.insert(meters[index].flying, {call.name, now, cost})
    meters[index].flying_cost = meters[index].flying_cost + cost
  end
end

local function save_all(meters)
  for index = 1, budgets do save(KEYS[index], meters[index]) end
end

local function text(seconds) return seconds == math.huge and 'inf' or string.format('%.7f', seconds) end

-- Sends now or books for `at`; gives the wait, rounded up to what a clock of microseconds can tell.
local function place(meters, at)
  if at <= now then
    send(meters)
  else
    for index, cost in ipairs(call.costs) do
      book(meters[index], {at, call.order, call.name, call.line, at, cost})
    end
  end
  save_all(meters)
  return at <= now and '0' or text(at - now + 1e-6)
end

local function take_back(meters)
  for index = 1, budgets do
    local meter = meters[index]
    remove(meter.booked, 3, call.name)
    local entry = remove(meter.flying, 1, call.name)
    if entry then meter.flying_cost = meter.flying_cost - entry[3] end
  end
end

-- The steps are no functions of their own: making all of them would take longer than running one.
if op == 'acquire' then
  local meters = all_meters()
  -- The client may ask once more when the response was lost.
  take_back(meters)
  call.order = 0
  for index = 1, budgets do call.order = math.max(call.order, meters[index].arrivals) end
  call.order = call.order + 1
  local at, label = earliest(meters, call.costs, call.order, call.line)
  local generation = redis.call('GET', KEYS[#KEYS])
  if not generation then
    generation = call.name
    redis.call('SET', KEYS[#KEYS], generation)
  end
  if at - now > number then return {'refused', text(at - now), label, generation} end
  for index = 1, budgets do meters[index].arrivals = call.order end
  return {'granted', place(meters, at), tostring(call.order), generation}
end

if op == 'confirm' then
  call.order = number
  -- Plans overdue bookings of earlier callers with the same keys anew; see Book._retime.
  local function retime(meters)
    if budgets == 0 then return end
    local overdue = {}
    for _, entry in ipairs(meters[1].booked) do
      if entry[1] < now and entry[2] < call.order and entry[4] == call.line then overdue[#overdue + 1] = entry end
    end
    table.sort(overdue, function(one, other) return one[2] < other[2] end)
    for _, entry in ipairs(overdue) do
      local costs, entries = {}, {}
      for index = 1, budgets do
        for _, other in ipairs(meters[index].booked) do
          if other[3] == entry[3] then entries[index], costs[index] = other, other[6] break end
        end
      end
      if #costs == budgets then
        local at = earliest(meters, costs, entry[2], call.line, entry[2])
        for index = 1, #costs do
          remove(meters[index].booked, 3, entry[3])
          entries[index][1] = at
          book(meters[index], entries[index])
        end
      end
    end
  end

  local meters = all_meters()
  for _, entry in ipairs(meters[1] and meters[1].flying or {}) do
    if entry[1] == call.name then return {'0'} end
  end
  retime(meters)
  local at = earliest(meters, call.costs, call.order, call.line, call.order)
  for index = 1, budgets do remove(meters[index].booked, 3, call.name) end
  return {place(meters, at)}
end

if op == 'settle' then
  local meters = all_meters()
  for index = 1, budgets do
    local meter = meters[index]
    remove(meter.booked, 3, call.name)
    local entry = remove(meter.flying, 1, call.name)
    if entry then
      meter.flying_cost = meter.flying_cost - entry[3]
      count(meter, now, entry[3])
    end
  end
  save_all(meters)
end

if op == 'release' then
  local meters = all_meters()
  take_back(meters)
  save_all(meters)
end

if op == 'count' then
  local meters = all_meters()
  for index, cost in ipairs(call.costs) do count(meters[index], now, cost) end
  save_all(meters)
end

if op == 'close' then
  for _, key in ipairs(KEYS) do
    local meter = load(key)
    meter.gate = math.max(meter.gate, now + number)
    save(key, meter)
  end
end

-- For each key its limits as [label, allowed, used, seconds until nothing is used], and its gate.
if op == 'view' then
  local views = {}
  for index, key in ipairs(KEYS) do
    local meter = load(key)
    local held = meter.flying_cost + queue_through(queue_of(meter), now)
    local found = {}
    for place_of, limit in ipairs(meter.limits) do
      local used, resets
      if limit[1] == FLIGHT then
        used, resets = held, 0
      elseif limit[1] == BUCKET then
        used = limit[2] - level_at(meter, limit, now) + held
        resets = used / limit[3]
      elseif limit[1] == DAY then
        local begin, stop = day_around(limit, now)
        used = total(meter, #meter.log) - through(meter, begin) + held
        resets = used > 0 and stop - now or 0
      else
        used = total(meter, #meter.log) - through(meter, now - limit[3]) + held
        resets = held > 0 and limit[3] or (used > 0 and meter.log[#meter.log] + limit[3] - now or 0)
      end
      found[place_of] = {limit[4], limit[2], used, resets}
    end
    views[index] = {limits = found, gate = math.max(0, meter.gate - now)}
  end
  return cjson.encode(views)
end

-- How many processes were seen lately.
if op == 'beat' then
  redis.call('ZADD', KEYS[1], now, call.name)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - number)
  redis.call('PEXPIRE', KEYS[1], math.ceil(number * 1000))
  return redis.call('ZCARD', KEYS[1])
end
