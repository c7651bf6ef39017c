-- Budgets in Redis: the arithmetic of meter.py and book.py, on the server and by the server's clock.
-- KEYS: the keys of the call's budgets, then those of gates that are no budget; of `acquire` the last is the
-- generation, which stands until everything is lost.
-- ARGV[1]: what to do; ARGV[2]: the call, as JSON. Times are seconds; answers are text, to keep fractions.

local COUNTED_WITHIN, LEASE, LOOK_AGAIN, LOST_AFTER = 10, 300, 0.05, 5
local LONGEST_DAY, ORDINARY_DAY, CLOCKS_DIFFER = 93600, 86400, 1
local DUST, COARSE_ABOVE, RESOLUTION = 1e-9, 1024, 1024
local op, call = ARGV[1], cjson.decode(ARGV[2])
local clock = redis.call('TIME')
local now = call.now or tonumber(clock[1]) + tonumber(clock[2]) / 1e6

-- The usual case -----------------------------------------------------------------------------------------
-- Logs and their totals are kept as bytes, eight for each number, so that looking at a few costs no reading of all.
-- Windows only, every cost 1, nobody waits and no gate is closed: then a call goes at once, or its answer is
-- counted, in a few lines. Everything else, and every call that has to wait, takes the long way below, whose
-- many functions are not even made here: that would take longer than running these lines.

local function usual(meter, limits)
  if #meter.booked > 0 or meter.gate > now or #meter.log >= 8 * (meter.crowded or COARSE_ABOVE) then return false end
  for _, limit in ipairs(limits) do
    if limit[1] ~= 'window' then return false end
  end
  return true
end

local function number_at(bytes, index) return (struct.unpack('d', bytes, 8 * index - 7)) end

local function total_at(meter, index)
  if not meter.totals or index == 0 then return index end
  return number_at(meter.totals, index)
end

local function write(key, meter)
  local longest = 0
  for _, limit in ipairs(meter.limits) do if limit[3] > longest then longest = limit[3] end end
  local text = cmsgpack.pack({limits = meter.limits, log = meter.log, totals = meter.totals,
    levels = meter.levels, flying = meter.flying, booked = meter.booked, gate = meter.gate,
    arrivals = meter.arrivals, crowded = meter.crowded})
  if call.now then
    redis.call('SET', key, text)
  else
    redis.call('SET', key, text, 'PX', math.ceil((COUNTED_WITHIN + longest) * 1000))
  end
end

local function go_at_once()
  local texts, meters, order = redis.call('MGET', unpack(KEYS)), {}, 0
  local generation = texts[#KEYS]
  if not generation then return end
  for index = 1, #KEYS - 1 do
    local limits = call.limits[index]
    local meter = texts[index] and cmsgpack.unpack(texts[index])
      or {log = '', levels = {}, flying = {}, booked = {}, gate = 0, arrivals = 0}
    if not usual(meter, limits or {}) or (limits and call.costs[index] ~= 1) then return end
    if limits then
      local held, log, all = 1, meter.log, #meter.log / 8
      local gone = all
      for _, entry in ipairs(meter.flying) do
        if entry[1] == call.name or entry[3] + COUNTED_WITHIN <= now then return end
        held = held + entry[4]
      end
      for _, limit in ipairs(limits) do
        local low, high, start = 0, all, now - limit[3]
        while low < high do
          local middle = math.ceil((low + high) / 2)
          if number_at(log, middle) <= start then low = middle else high = middle - 1 end
        end
        if total_at(meter, all) - total_at(meter, low) + held > limit[2] then return end
        gone = math.min(gone, low)
      end
      -- What no window sees any more is thrown away by the long way, many at once.
      if gone > 32 then return end
      meter.limits = limits
      if meter.arrivals > order then order = meter.arrivals end
    end
    meters[index] = meter
  end
  order = order + 1
  for index = 1, #call.costs do
    local meter = meters[index]
    meter.arrivals = order
    meter.flying[#meter.flying + 1] = {call.name, order, now, 1}
    write(KEYS[index], meter)
  end
  return {'granted', '0', tostring(order), generation}
end

local function count_at_once()
  local texts, meters = redis.call('MGET', unpack(KEYS)), {}
  for index = 1, #call.costs do
    local meter = texts[index] and cmsgpack.unpack(texts[index])
    local found
    if not meter or not usual(meter, meter.limits) then return end
    local all = #meter.log / 8
    if all > 0 and number_at(meter.log, all) > now then return end
    for place, entry in ipairs(meter.flying) do
      if entry[1] == call.name then found = place end
    end
    if not found or meter.flying[found][4] ~= 1 then return end
    table.remove(meter.flying, found)
    if meter.totals then meter.totals = meter.totals .. struct.pack('d', total_at(meter, all) + 1) end
    meter.log = meter.log .. struct.pack('d', now)
    meters[index] = meter
  end
  for index, meter in ipairs(meters) do write(KEYS[index], meter) end
  return true
end

if op == 'acquire' then
  local answer = go_at_once()
  if answer then return answer end
elseif op == 'settle' then
  if count_at_once() then return end
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
  return {limits = {}, log = {}, levels = {}, flying = {}, booked = {}, gate = 0, arrivals = 0}
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
      local long = limit[1] == 'day' and ORDINARY_DAY or limit[1] == 'window' and limit[3] or 0
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
    if #meter.log > (meter.crowded or COARSE_ABOVE) then coarsen(meter, moment) end
  end
  for _, limit in ipairs(meter.limits) do
    if limit[1] == 'bucket' then
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
    if entry[3] + meter.patience <= now then
      count(meter, entry[3] + meter.patience, entry[4])
    else
      flying[#flying + 1] = entry
      meter.flying_cost = meter.flying_cost + entry[4]
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

local function apply(meter, limits)
  meter.limits, meter.longest, meter.most, meter.patience = limits, 0, math.huge, COUNTED_WITHIN
  local labels = {}
  for _, limit in ipairs(limits) do
    if limit[1] == 'window' then meter.longest = math.max(meter.longest, limit[3]) end
    if limit[1] == 'day' then meter.longest = math.max(meter.longest, LONGEST_DAY) end
    if limit[1] == 'bucket' then labels[limit[4]] = true end
    if limit[1] == 'flight' then meter.patience = LEASE end
    meter.most = math.min(meter.most, limit[2])
  end
  for label in pairs(meter.levels) do if not labels[label] then meter.levels[label] = nil end end
end

local AT_ONCE = 100

local function moments_of(bytes)
  local moments, count = {}, #bytes / 8
  for first = 1, count, AT_ONCE do
    local few = math.min(AT_ONCE, count - first + 1)
    local read = {struct.unpack(string.rep('d', few), bytes, 8 * first - 7)}
    for index = 1, few do moments[first + index - 1] = read[index] end
  end
  return moments
end

local function bytes_of(moments)
  local parts = {}
  for first = 1, #moments, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, #moments)
    parts[#parts + 1] = struct.pack(string.rep('d', last - first + 1), unpack(moments, first, last))
  end
  return table.concat(parts)
end

local function load(key, limits)
  local text = redis.call('GET', key)
  local meter = text and cmsgpack.unpack(text) or fresh()
  if text then meter.log, meter.totals = moments_of(meter.log), meter.totals and moments_of(meter.totals) end
  apply(meter, limits or meter.limits)
  tidy(meter)
  return meter
end

local function save(key, meter)
  local kept = meter.gate
  for _, entry in ipairs(meter.flying) do kept = math.max(kept, entry[3] + meter.patience + meter.longest) end
  if #meter.booked > 0 then kept = math.max(kept, meter.booked[#meter.booked][1] + COUNTED_WITHIN + meter.longest) end
  if #meter.log > 0 then kept = math.max(kept, meter.log[#meter.log] + meter.longest) end
  for _, limit in ipairs(meter.limits) do
    if limit[1] == 'bucket' then
      local level, since = level_at(meter, limit, now)
      kept = math.max(kept, since + (limit[2] - level + meter.flying_cost + #meter.booked) / limit[3])
    end
  end
  local bytes = cmsgpack.pack({limits = meter.limits, log = bytes_of(meter.log),
    totals = meter.totals and bytes_of(meter.totals),
    levels = meter.levels, flying = meter.flying, booked = meter.booked, gate = meter.gate,
    arrivals = meter.arrivals, crowded = meter.crowded})
  if kept <= now then
    redis.call('DEL', key)
  elseif call.now then
    redis.call('SET', key, bytes)
  else
    redis.call('SET', key, bytes, 'PX', math.ceil((kept - now) * 1000))
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

local find = {window = in_window, day = in_day, bucket = in_bucket, flight = in_flight}

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
  for index = 1, #KEYS - (call.generation and 1 or 0) do
    local key = KEYS[index]
    meters[index] = load(key, call.limits and call.limits[index])
  end
  return meters
end

local function send(meters)
  for index, cost in ipairs(call.costs) do
    table.insert(meters[index].flying, {call.name, call.order, now, cost})
    meters[index].flying_cost = meters[index].flying_cost + cost
  end
end

local function save_all(meters)
  for index = 1, #call.costs do save(KEYS[index], meters[index]) end
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
  for index = 1, #call.costs do
    local meter = meters[index]
    remove(meter.booked, 3, call.name)
    local entry = remove(meter.flying, 1, call.name)
    if entry then meter.flying_cost = meter.flying_cost - entry[4] end
  end
end

-- The steps are no functions of their own: making all of them would take longer than running one.
if op == 'acquire' then
  local meters = all_meters()
  -- The client may ask once more when the answer was lost.
  take_back(meters)
  call.order = 0
  for index = 1, #call.costs do call.order = math.max(call.order, meters[index].arrivals) end
  call.order = call.order + 1
  local at, label = earliest(meters, call.costs, call.order, call.line)
  local generation = redis.call('GET', KEYS[#KEYS])
  if not generation then
    generation = call.name
    redis.call('SET', KEYS[#KEYS], generation)
  end
  if at - now > call.patience then return {'refused', text(at - now), label, generation} end
  for index = 1, #call.costs do meters[index].arrivals = call.order end
  return {'granted', place(meters, at), tostring(call.order), generation}
end

if op == 'confirm' then
  -- Plans overdue bookings of earlier callers with the same keys anew; see Book._retime.
  local function retime(meters)
    if #call.costs == 0 then return end
    local overdue = {}
    for _, entry in ipairs(meters[1].booked) do
      if entry[1] < now and entry[2] < call.order and entry[4] == call.line then overdue[#overdue + 1] = entry end
    end
    table.sort(overdue, function(one, other) return one[2] < other[2] end)
    for _, entry in ipairs(overdue) do
      local costs, entries = {}, {}
      for index = 1, #call.costs do
        for _, other in ipairs(meters[index].booked) do
          if other[3] == entry[3] then entries[index], costs[index] = other, other[6] break end
        end
      end
      if #costs == #call.costs then
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
  for index = 1, #call.costs do remove(meters[index].booked, 3, call.name) end
  return {place(meters, at)}
end

if op == 'settle' then
  local meters = all_meters()
  for index = 1, #call.costs do
    local meter = meters[index]
    remove(meter.booked, 3, call.name)
    local entry = remove(meter.flying, 1, call.name)
    if entry then
      meter.flying_cost = meter.flying_cost - entry[4]
      count(meter, now, entry[4])
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
    meter.gate = math.max(meter.gate, now + call.seconds)
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
      if limit[1] == 'flight' then
        used, resets = held, 0
      elseif limit[1] == 'bucket' then
        used = limit[2] - level_at(meter, limit, now) + held
        resets = used / limit[3]
      elseif limit[1] == 'day' then
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
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - call.seconds)
  redis.call('PEXPIRE', KEYS[1], math.ceil(call.seconds * 1000))
  return redis.call('ZCARD', KEYS[1])
end
