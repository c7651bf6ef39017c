-- Rate limits in Redis: the arithmetic of nango_py/limits/counting under the same names, on the server and by the
-- server's clock.
--
-- KEYS: the keys of the call's budgets, then its gates; for `acquire` also the key of the generation, at the end.
-- ARGV: the step; the booking's name (16 bytes; for `correct` the report); a number, whose meaning depends on the step; the time in seconds,
-- which only tests pass; and for `acquire`, `confirm`, `count` and `correct` a digest of the budgets' keys, then two arguments
-- for each budget: its cost, and its rules (see `pack_rules` in redis_store.py).
-- Times are seconds. Replies are text, because Redis cuts numbers down to integers.

local COUNTED_WITHIN, LOST_AFTER, ROUNDING, WITHOUT_RESET = 10, 5, 1e-9, 60
local LONGEST_GATE, LONGEST_WAIT, CLOCK_STEP = 86400, 366 * 86400, 60
local MAX_WAITING = 10000
local EMPTY_QUEUE = {times = {}, totals = {}}
local TIME, ORDER, NAME, DIGEST, WAKE_AT, COST = 1, 2, 3, 4, 5, 6  -- the fields of a waiting booking
local OTHERS, UNTIL, SINCE, REPORTED_AT = 1, 2, 3, 4  -- the fields of a report

local step, name, number, keys_digest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local now, clock_step = tonumber(ARGV[4]), 0
if not now then
  local time = redis.call('TIME')
  now, clock_step = time[1] + time[2] / 1e6, 1e-6
end

-- Redis runs this whole text for every step, and creating a function costs about as much as calling one. So the
-- functions of a module are created when one of them is first needed: creating all took 6 us of an acquire's 18.
local make = {}
local module = setmetatable({}, {__index = function(modules, wanted)
  modules[wanted] = make[wanted]()
  return modules[wanted]
end})

-- How many of a sorted list's values are at or below x.
local function bisect_right(size, value_at, list, x)
  local low, high = 0, size
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if value_at(list, middle) <= x then low = middle else high = middle - 1 end
  end
  return low
end

-- The cost that counts beside the log at a moment, and the moment after which entries of the log count then.
local function others_at(report, moment) return report and moment < report[UNTIL] and report[OTHERS] or 0 end
local function since_at(report, moment) return report and report[moment < report[UNTIL] and SINCE or REPORTED_AT] or 0 end

-- CountedLog: one string, 16 bytes for each entry: its moment and the total up to and including it. It is read only if
-- it is needed, so that most calls cost the same however much is counted.
function make.log()
  local MERGE_ABOVE, RESOLUTION, TRIM_STEP = 256, 200, 64
  local Log = {}

  function Log.size(log)
    if not log.entries then log.entries = redis.call('HGET', log.key, 'log') or '' end
    return #log.entries / 16
  end

  function Log.time_at(log, index) return (struct.unpack('<d', log.entries, 16 * index - 15)) end

  function Log.total_at(log, index)
    return index == 0 and log.dropped or (struct.unpack('<d', log.entries, 16 * index - 7))
  end

  function Log.total_until(log, moment)
    return Log.total_at(log, bisect_right(Log.size(log), Log.time_at, log, moment))
  end

  function Log.ended_after(log, moment) return log.total - Log.total_until(log, moment) end

  function Log.time_of(log, total)
    return Log.time_at(log, bisect_right(Log.size(log), Log.total_at, log, total - 1) + 1)
  end

  local function replace(log, entries)
    log.entries, log.is_changed, log.first, log.last = entries, true, math.huge, 0
    if entries ~= '' then log.first, log.last = Log.time_at(log, 1), Log.time_at(log, Log.size(log)) end
  end

  function Log.add(log, moment, cost)
    local size = Log.size(log)
    local index = log.last <= moment and size or bisect_right(size, Log.time_at, log, moment)
    local entry = struct.pack('<dd', moment, Log.total_at(log, index) + cost)
    local later = {}
    for place = index + 1, size do
      later[#later + 1] = struct.pack('<dd', Log.time_at(log, place), Log.total_at(log, place) + cost)
    end
    local earlier = index == size and log.entries or log.entries:sub(1, 16 * index)
    replace(log, earlier .. entry .. table.concat(later))
    log.total = log.total + cost
  end

  function Log.drop_until(log, moment)
    local size = Log.size(log)
    local index = bisect_right(size, Log.time_at, log, moment)
    if index == size or index >= TRIM_STEP then
      log.dropped = Log.total_at(log, index)
      replace(log, log.entries:sub(16 * index + 1))
    end
  end

  function Log.merge_old(log, moment, limits)
    local size = Log.size(log)
    if size <= math.max(MERGE_ABOVE, log.merge_above) then return end
    local spans, times, totals, last_step, last_cell = {}, {}, {}, 0, -1
    for _, limit in ipairs(limits) do
      if limit.span > 0 then spans[#spans + 1] = limit.kind == 'period' and limit.rate or limit.span end
    end
    if #spans == 0 then spans[1] = COUNTED_WITHIN end
    table.sort(spans)
    for index = 1, size do
      local time, span = Log.time_at(log, index), spans[#spans]
      for place = #spans, 1, -1 do
        if spans[place] > moment - time then span = spans[place] end
      end
      local step = span / RESOLUTION
      local cell = math.floor(time / step)
      local is_near = step == last_step and cell == last_cell
      last_step, last_cell = step, cell
      local place = is_near and #times or #times + 1
      times[place], totals[place] = time, Log.total_at(log, index)
    end
    for index, time in ipairs(times) do times[index] = struct.pack('<dd', time, totals[index]) end
    replace(log, table.concat(times))
    log.merge_above = 2 * #times
  end

  return Log
end

-- Queue: the waiting bookings of a meter as moments that are not before now.
function make.queue()
  local Queue = {}

  function Queue.make(waiting, before)
    local times, totals, total = {}, {}, 0
    for _, booking in ipairs(waiting) do
      if not before or booking[ORDER] < before then
        total = total + booking[COST]
        times[#times + 1], totals[#totals + 1] = math.max(now, booking[TIME]), total
      end
    end
    return {times = times, totals = totals}
  end

  function Queue.value_at(list, index) return list[index] end

  function Queue.cost_until(queue, moment)
    return queue.totals[bisect_right(#queue.times, Queue.value_at, queue.times, moment)] or 0
  end

  function Queue.cost_before(queue, moment)
    local index = bisect_right(#queue.times, Queue.value_at, queue.times, moment)
    while queue.times[index] == moment do index = index - 1 end
    return queue.totals[index] or 0
  end

  function Queue.time_of(queue, total)
    return queue.times[bisect_right(#queue.totals, Queue.value_at, queue.totals, total - 1) + 1]
  end

  return Queue
end

-- The kinds of limits. Each has `earliest`, the first moment from `from` on at which so much can be sent, and `usage`:
-- what of it is used now, and the seconds until nothing is.

function make.window()
  local Window = {}

  -- The first moment at which a window of this span has left `moment` behind, rounding included.
  local function after(moment, span)
    local stop = moment + span
    while stop - span < moment do
      local _, exponent = math.frexp(stop)
      stop = stop + math.ldexp(1, exponent - 53)
    end
    return stop
  end

  local function used_within(meter, queue, report, stop, span)
    local first, others = stop - span, others_at(report, stop)
    local waiting = module.queue.cost_until(queue, stop) + others
    if first >= now then return waiting - module.queue.cost_until(queue, first) end
    first = math.max(first, since_at(report, stop))
    return module.log.ended_after(meter.log, first) + meter.in_flight_cost + waiting
  end

  -- The moment of the `over`-th that counts in the window that ends at this moment.
  local function nth_after(meter, queue, report, moment, span, over)
    local first = moment - span
    if first >= now then return module.queue.time_of(queue, module.queue.cost_until(queue, first) + over) end
    local log = meter.log
    local total = module.log.total_until(log, math.max(first, since_at(report, moment))) + over
    if total <= log.total then return module.log.time_of(log, total) end
    local waiting = total - log.total - meter.in_flight_cost
    return waiting <= 0 and now or math.max(now, module.queue.time_of(queue, waiting))
  end

  -- The first moment after this one at which `over` of what is used no longer counts.
  local function first_with_less(meter, queue, report, moment, span, over, room)
    local is_reported = report and moment < report[UNTIL]
    if is_reported and report[OTHERS] > room then return report[UNTIL] end
    local found = after(nth_after(meter, queue, report, moment, span, over), span)
    return is_reported and math.min(found, report[UNTIL]) or found
  end

  -- The last later booking whose window a request at this moment would overfill.
  local function overfilled(meter, queue, report, moment, span, room)
    for index = #queue.times, 1, -1 do
      local time = queue.times[index]
      if time <= moment then return end
      if time < moment + span and used_within(meter, queue, report, time, span) > room then return time end
    end
  end

  function Window.earliest(meter, queue, window, from, cost)
    local span, room, moment, report = window.span, window.capacity - cost, from, meter.reports[window.place]
    while true do
      local over = used_within(meter, queue, report, moment, span) - room
      if over > 0 then
        moment = first_with_less(meter, queue, report, moment, span, over, room)
      else
        local later = overfilled(meter, queue, report, moment, span, room)
        if not later then return moment end
        moment = later
      end
    end
  end

  function Window.usage(meter, window, held)
    local report = meter.reports[window.place]
    local others = others_at(report, now)
    local used = module.log.ended_after(meter.log, math.max(now - window.span, since_at(report, now)))
    local ends = used > 0 and meter.log.last + window.span - now or 0
    if held > 0 then ends = window.span end
    if others > 0 then ends = math.max(ends, report[UNTIL] - now) end
    return used + others + held, ends
  end

  function Window.resets_in(_, window) return math.min(window.span, WITHOUT_RESET) end

  return Window
end

function make.period()
  local CLOCKS_DIFFER = 1
  local Period = {}

  -- What is after the first may count in the period that is used at a moment; the second is its end. Redis knows no time
  -- zones: it is sent the boundaries of some periods, and takes those before and after to have their usual length.
  local function bounds(meter, period, moment)
    local boundaries, at = module.meter.details(meter, period).boundaries, moment - CLOCKS_DIFFER
    local index = bisect_right(#boundaries, module.queue.value_at, boundaries, at)
    local first, stop = boundaries[index], boundaries[index + 1]
    if not first or not stop then
      local known = first or boundaries[1]
      first = known + math.floor((at - known) / period.rate) * period.rate
      stop = first + period.rate
    end
    return first - CLOCKS_DIFFER, stop + CLOCKS_DIFFER + 1e-6
  end

  function Period.earliest(meter, queue, period, from, cost)
    local log, moment, report = meter.log, from, meter.reports[period.place]
    while true do
      local first, stop = bounds(meter, period, moment)
      local used = module.queue.cost_before(queue, stop) + others_at(report, moment)
      if first <= now then
        first = math.max(first, since_at(report, moment))
        used = used + module.log.ended_after(log, first) + meter.in_flight_cost
      else
        used = used - module.queue.cost_before(queue, first)
      end
      if used + cost <= period.capacity then return moment end
      moment = report and moment < report[UNTIL] and math.min(stop, report[UNTIL]) or stop
    end
  end

  function Period.usage(meter, period, held)
    local first, stop = bounds(meter, period, now)
    local report = meter.reports[period.place]
    local used = module.log.ended_after(meter.log, math.max(first, since_at(report, now))) + others_at(report, now) + held
    return used, used > 0 and stop - now or 0
  end

  function Period.resets_in(meter, period)
    local _, stop = bounds(meter, period, now)
    return stop - now
  end

  return Period
end

function make.bucket()
  local Bucket = {}

  -- The tokens at a moment, and that moment.
  function Bucket.level(meter, bucket, moment)
    local known = meter.levels[module.meter.details(meter, bucket).label]
    local level, since = unpack(known or {bucket.capacity, moment})
    if moment > since then return math.min(bucket.capacity, level + (moment - since) * bucket.rate), moment end
    return level, since
  end

  function Bucket.take(meter, bucket, moment, cost)
    local level, since = Bucket.level(meter, bucket, moment)
    meter.levels[module.meter.details(meter, bucket).label] = {level - cost, since}
  end

  -- Corrects the level by what a response says; see meter.py.
  function Bucket.correct(meter, bucket, reported, beside)
    local level, since = Bucket.level(meter, bucket, now)
    local used = bucket.capacity - level
    local corrected = math.min(math.max(used, reported - meter.in_flight_cost), reported + beside)
    if math.abs(corrected - used) >= 1 then
      meter.levels[module.meter.details(meter, bucket).label] = {bucket.capacity - corrected, since}
    end
  end

  -- The moment at which it is full again, if nothing more is sent than is in flight or waiting now.
  function Bucket.full_at(meter, bucket)
    local level, since = Bucket.level(meter, bucket, now)
    return since + (bucket.capacity - level + meter.in_flight_cost + #meter.waiting) / bucket.rate
  end

  -- For each booking from the first on, the tokens that must be there just before it so that it and all after it fit.
  local function tokens_needed(queue, first, rate)
    local needed, following = {[#queue.times + 1] = 0}, math.huge
    for index = #queue.times, first, -1 do
      local cost = queue.totals[index] - (queue.totals[index - 1] or 0)
      needed[index] = cost + math.max(0, needed[index + 1] - (following - queue.times[index]) * rate)
      following = queue.times[index]
    end
    return needed
  end

  function Bucket.earliest(meter, queue, bucket, from, cost)
    local burst, rate, since = bucket.capacity, bucket.rate, now
    local level = Bucket.level(meter, bucket, now) - meter.in_flight_cost - module.queue.cost_until(queue, now)
    local first = bisect_right(#queue.times, module.queue.value_at, queue.times, now) + 1
    local needed = tokens_needed(queue, first, rate)
    for index = first, #queue.times + 1 do
      local next_booking = queue.times[index] or math.huge
      if next_booking > from then
        local at = math.max(from, since)
        local tokens = math.min(burst, level + (at - since) * rate)
        if tokens < cost - ROUNDING then at, tokens = at + (cost - tokens) / rate, cost end
        local left = math.min(burst, tokens - cost + (next_booking - at) * rate)
        if at <= next_booking and left >= needed[index] - ROUNDING then return at end
      end
      local taken = (queue.totals[index] or 0) - (queue.totals[index - 1] or 0)
      level = math.min(burst, level + (next_booking - since) * rate) - taken
      since = next_booking
    end
  end

  function Bucket.usage(meter, bucket, held)
    local used = bucket.capacity - Bucket.level(meter, bucket, now) + held
    return used, used / bucket.rate
  end

  return Bucket
end

function make.cap()
  local POLL_SECONDS = 0.05
  local Cap = {}

  function Cap.earliest(meter, queue, cap, from, cost)
    if meter.in_flight_cost + module.queue.cost_until(queue, now) + cost <= cap.capacity then return from end
    return math.max(from, now + POLL_SECONDS * (1 + (queue.totals[#queue.totals] or 0) / cap.capacity))
  end

  function Cap.usage(meter, cap, held) return held, 0 end

  return Cap
end

-- Report: what responses said of a limit; the same arithmetic as in report.py.
function make.report()
  local TOLERANCE, SAME_RESET, REFRESHED_AFTER, OWN_CALLS_STAY = 0.02, 1, 0.1, 60
  local Report = {}

  -- Whether forgetting it would change anything.
  function Report.matters(report, longest) return now < report[UNTIL] or report[REPORTED_AT] > now - longest end

  function Report.correct(meter, limit, reported, beside, resets_in)
    local report, allowed, in_flight = meter.reports[limit.place], limit.capacity, meter.in_flight_cost
    local others, since = others_at(report, now), since_at(report, now)
    local used, before = module[limit.kind].usage(meter, limit, 0), others
    local is_exact = limit.kind == 'window' and limit.span < OWN_CALLS_STAY
    local stop, is_same_reset = now + resets_in, false
    beside = math.min(used, beside)
    if report then is_same_reset = report[UNTIL] <= stop and stop <= report[UNTIL] + SAME_RESET end
    local missing, surplus = reported - in_flight - used, used - reported - beside
    if missing > 0 and (reported >= allowed or missing > TOLERANCE * allowed) then
      others = others + missing
    elseif surplus > 0 and (used + in_flight >= allowed or surplus > TOLERANCE * allowed) then
      if surplus <= others or is_exact then others = math.max(0, others - surplus) else others, since = reported + beside, now end
    elseif is_same_reset
      and module.log.ended_after(meter.log, report[REPORTED_AT]) < math.max(1, REFRESHED_AFTER * allowed) then
      return
    end
    if is_same_reset then stop = report[UNTIL] end
    if not is_exact then
      meter.reports[limit.place] = {others, stop, since, now}
    elseif others ~= before or (others > 0 and not (report and stop == report[UNTIL])) then
      meter.reports[limit.place] = {others, stop, 0, 0}
    end
  end

  return Report
end

-- Meter: a key is a hash of `log` and `state`. Of the parts of the state, `in_flight` has 32 bytes for each request
-- (the name of its booking, the moment of its sending, its cost); `levels`, `reports` (by the place of the limit) and
-- `waiting` are MessagePack.
-- `rules` are numbers for each limit and, as JSON that is decoded only if it is needed, its label and boundaries.

function make.meter()
  local Meter = {}

  -- The label of a limit, and the boundaries of a period.
  function Meter.details(meter, limit)
    if not meter.known_details then meter.known_details = cjson.decode(meter.rules:sub(meter.details_at)) end
    return meter.known_details[limit.place]
  end

  function Meter.smallest_label(meter)
    for _, limit in ipairs(meter.limits) do
      if limit.capacity == meter.max_cost then return Meter.details(meter, limit).label end
    end
  end

  function Meter.count(meter, moment, cost)
    if meter.longest > 0 then
      module.log.add(meter.log, moment, cost)
      module.log.merge_old(meter.log, moment, meter.limits)
    end
    for _, limit in ipairs(meter.limits) do
      if limit.kind == 'bucket' then module.bucket.take(meter, limit, moment, cost) end
    end
  end

  -- Takes a booking out of those in flight; gives its cost, or nil if it is not there.
  function Meter.cancel(meter, name)
    local first = meter.in_flight:find(name, 1, true)
    while first and first % 32 ~= 1 do first = meter.in_flight:find(name, first + 1, true) end
    if not first then return end
    local cost = struct.unpack('<d', meter.in_flight, first + 24)
    meter.in_flight = meter.in_flight:sub(1, first - 1) .. meter.in_flight:sub(first + 32)
    meter.in_flight_cost = meter.in_flight_cost - cost
    return cost
  end

  -- A booking in flight has cost something else than was booked.
  function Meter.change_cost(meter, name, cost)
    local first, stop = 1, #meter.in_flight
    while first < stop do
      local other, sent = struct.unpack('<c16d', meter.in_flight, first)
      if other == name then
        local before = Meter.cancel(meter, name)
        if before then
          local left, right = meter.in_flight:sub(1, first - 1), meter.in_flight:sub(first)
          meter.in_flight = left .. name .. struct.pack('<dd', sent, cost) .. right
          meter.in_flight_cost = meter.in_flight_cost + cost
        end
        return
      end
      first = first + 32
    end
  end

  function Meter.finish(meter, name, moment)
    local cost = Meter.cancel(meter, name)
    if cost then Meter.count(meter, moment, cost) end
  end

  function Meter.enqueue(meter, booking)
    local index = #meter.waiting + 1
    while index > 1 do
      local other = meter.waiting[index - 1]
      if other[TIME] < booking[TIME] or other[TIME] == booking[TIME] and other[ORDER] < booking[ORDER] then break end
      index = index - 1
    end
    table.insert(meter.waiting, index, booking)
  end

  function Meter.dequeue(meter, name)
    for index, booking in ipairs(meter.waiting) do
      if booking[NAME] == name then return table.remove(meter.waiting, index) end
    end
  end

  function Meter.finish_late(meter)
    while meter.in_flight ~= '' do
      local first, sent = struct.unpack('<c16d', meter.in_flight)
      local counted_by = sent + meter.in_flight_seconds
      if counted_by > now then return end
      Meter.finish(meter, first, counted_by)
    end
  end

  return Meter
end

local STATE = '<dddddddddI4c0I4c0I4c0I4c0I4c0'
local RULES, LIMIT, KINDS = '<Bddd', '<Bddd', {'window', 'period', 'bucket', 'cap'}
local NO_RULES = struct.pack(RULES, 0, 0, 0, 0) .. '[]'

-- Numbers that no step can have written are corrected: whoever may write to Redis can still lift or use up limits, but
-- not stop calls for ever.
local function correct_numbers(meter)
  local log = meter.log
  if not (meter.gate <= now + LONGEST_GATE + CLOCK_STEP) then meter.gate = 0 end
  if not (meter.in_flight_cost >= 0) or meter.in_flight == '' then meter.in_flight_cost = 0 end
  if not (log.total >= log.dropped) or (log.first < math.huge and not (log.last <= now + CLOCK_STEP)) then
    log.entries, log.is_changed, log.dropped, log.total, log.first, log.last = '', true, 0, 0, math.huge, 0
  end
  for place, report in pairs(meter.reports) do
    local is_possible = report[OTHERS] >= 0 and report[UNTIL] <= now + LONGEST_WAIT
      and report[SINCE] <= now + CLOCK_STEP and report[REPORTED_AT] <= now + CLOCK_STEP
    if not is_possible then meter.reports[place] = nil end
  end
  for label, level in pairs(meter.levels) do
    if not (level[2] <= now + CLOCK_STEP and level[1] > -LONGEST_WAIT) then meter.levels[label] = nil end
  end
  for index = #meter.waiting, 1, -1 do
    local booking = meter.waiting[index]
    if not (booking[TIME] <= now + LONGEST_WAIT and booking[COST] > 0) then table.remove(meter.waiting, index) end
  end
end

local function load(key, new_rules)
  local state = redis.call('HGET', key, 'state')
    or struct.pack(STATE, 0, 0, 0, 0, 0, 0, 0, math.huge, 0, #NO_RULES, NO_RULES, 0, '', 0, '', 0, '', 0, '')
  local gate, arrivals, kept_until, in_flight_cost, dropped, total, merge_above, first, last, old_rules, levels, waiting,
    in_flight, reports = struct.unpack(STATE, state)
  local rules = new_rules or old_rules
  local limits = {}
  local limit_count, longest, max_cost, in_flight_seconds, at = struct.unpack(RULES, rules)
  for place = 1, limit_count do
    local kind, capacity, span, rate, next_at = struct.unpack(LIMIT, rules, at)
    limits[place] = {place = place, kind = KINDS[kind], capacity = capacity, span = span, rate = rate}
    at = next_at
  end
  local log = {
    key = key, dropped = dropped, total = total, merge_above = merge_above, first = first, last = last,
    entries = false, is_changed = false,
  }
  local meter = {
    gate = gate, arrivals = arrivals, kept_until = kept_until, log = log,
    rules = rules, limits = limits, longest = longest, max_cost = max_cost, in_flight_seconds = in_flight_seconds,
    known_details = false, details_at = at, in_flight = in_flight, in_flight_cost = in_flight_cost,
    levels = levels ~= '' and cmsgpack.unpack(levels) or {},
    waiting = waiting ~= '' and cmsgpack.unpack(waiting) or {},
    -- Reports of other limits are forgotten.
    reports = reports ~= '' and rules:sub(1, at - 1) == old_rules:sub(1, at - 1) and cmsgpack.unpack(reports) or {},
  }
  correct_numbers(meter)
  if in_flight ~= '' and struct.unpack('<d', in_flight, 17) + in_flight_seconds <= now then
    module.meter.finish_late(meter)
  end
  if log.first <= now - longest then module.log.drop_until(log, now - longest) end
  for place, report in pairs(meter.reports) do
    if not module.report.matters(report, longest) then meter.reports[place] = nil end
  end
  for index = #meter.waiting, 1, -1 do
    if meter.waiting[index][WAKE_AT] + LOST_AFTER < now then table.remove(meter.waiting, index) end
  end
  return meter
end

-- Saves a meter until forgetting it changes nothing.
local function save(meter)
  local log, levels, waiting, reports, ends = meter.log, '', '', '', meter.gate
  if meter.in_flight ~= '' then
    local last_sent = struct.unpack('<d', meter.in_flight, #meter.in_flight - 15)
    ends = math.max(ends, last_sent + meter.in_flight_seconds + meter.longest)
  end
  if log.first < math.huge then ends = math.max(ends, log.last + meter.longest) end
  if #meter.waiting > 0 then
    waiting = cmsgpack.pack(meter.waiting)
    ends = math.max(ends, meter.waiting[#meter.waiting][TIME] + COUNTED_WITHIN + meter.longest)
  end
  for _, limit in ipairs(meter.limits) do
    if limit.kind == 'bucket' then ends = math.max(ends, module.bucket.full_at(meter, limit)) end
  end
  for _, report in pairs(meter.reports) do
    ends = math.max(ends, report[UNTIL], report[REPORTED_AT] + meter.longest)
  end
  if next(meter.reports) then reports = cmsgpack.pack(meter.reports) end
  if next(meter.levels) then levels = cmsgpack.pack(meter.levels) end
  if ends <= now then return redis.call('DEL', log.key) end
  -- Setting a TTL is expensive, so it is set to last for some more calls.
  local must_extend = ends > meter.kept_until
  if must_extend then meter.kept_until = ends + COUNTED_WITHIN end
  redis.call('HSET', log.key, 'state', struct.pack(STATE, meter.gate, meter.arrivals, meter.kept_until,
    meter.in_flight_cost, log.dropped, log.total, log.merge_above, log.first, log.last, #meter.rules,
    meter.rules, #levels, levels, #waiting, waiting, #meter.in_flight, meter.in_flight, #reports, reports))
  if log.is_changed then redis.call('HSET', log.key, 'log', log.entries) end
  if must_extend and clock_step > 0 then
    redis.call('PEXPIRE', log.key, math.ceil((meter.kept_until - now) * 1000))
  end
end

-- Bookings: `spends` are pairs of a meter and a cost.

local meters, spends, gates = {}, {}, {}
local budget_count = keys_digest and (#ARGV - 5) / 2 or #KEYS
for index = 1, step == 'acquire' and #KEYS - 1 or #KEYS do
  local key, is_budget = KEYS[index], index <= budget_count
  meters[key] = meters[key] or load(key, is_budget and ARGV[5 + 2 * index])
  if is_budget then
    spends[index] = {meter = meters[key], cost = tonumber(ARGV[4 + 2 * index])}
  else
    gates[#gates + 1] = meters[key]
  end
end

-- The first moment that every gate and every limit allows, and the label of what decided.
local function earliest(spends, order, before)
  local at, label, is_quiet, queues = now, 'Retry-After', true, {}
  for _, gate in ipairs(gates) do at = math.max(at, gate.gate) end
  for index, spend in ipairs(spends) do
    local meter, waiting = spend.meter, spend.meter.waiting
    if spend.cost > meter.max_cost then return math.huge, module.meter.smallest_label(meter) end
    queues[index] = EMPTY_QUEUE
    if #waiting > 0 then
      queues[index], is_quiet = module.queue.make(waiting, before), false
      -- Never before the last booking with the same keys that came before this one.
      for place = #waiting, 1, -1 do
        local other = waiting[place]
        if other[ORDER] < order and other[DIGEST] == keys_digest then at = math.max(at, other[TIME]) break end
      end
    end
  end
  repeat
    local previous = at
    for index, spend in ipairs(spends) do
      local meter, log, cost = spend.meter, spend.meter.log, spend.cost
      local most = log.total - log.dropped + meter.in_flight_cost + cost
      for _, limit in ipairs(meter.limits) do
        -- Nothing more is asked where all that is known leaves room, as it mostly does.
        local report = meter.reports[limit.place]
        local has_room = is_quiet and limit.span > 0 and most + (report and report[OTHERS] or 0) <= limit.capacity
        local moment = has_room and at or module[limit.kind].earliest(meter, queues[index], limit, at, cost)
        if moment > at then at, label = moment, module.meter.details(meter, limit).label end
      end
    end
  until is_quiet or at == previous
  return at, label
end

-- Sends now, or waits until `at`; gives the wait.
local function place(at, order)
  for _, spend in ipairs(spends) do
    local meter = spend.meter
    if at <= now then
      meter.in_flight = meter.in_flight .. name .. struct.pack('<dd', now, spend.cost)
      meter.in_flight_cost = meter.in_flight_cost + spend.cost
    else
      module.meter.enqueue(meter, {at, order, name, keys_digest, at, spend.cost})
    end
  end
  return at <= now and '0' or string.format('%.17g', at - now + clock_step)
end

-- The steps: each changes the meters and sets the reply.

local reply

-- The number is the longest acceptable wait.
if step == 'acquire' then
  local order = 1
  for _, spend in ipairs(spends) do
    local meter = spend.meter
    order = math.max(order, meter.arrivals + 1)
    -- The client repeats the step when the reply was lost.
    if meter.in_flight:find(name, 1, true) then module.meter.cancel(meter, name) end
    if #meter.waiting > 0 then module.meter.dequeue(meter, name) end
  end
  local generation = redis.call('GET', KEYS[#KEYS])
  if not generation then
    generation = name
    redis.call('SET', KEYS[#KEYS], generation)
  end
  local at, label = earliest(spends, order)
  if at - now > number then
    return {'refused', at == math.huge and 'inf' or string.format('%.17g', at - now), label, generation}
  end
  for _, spend in ipairs(spends) do
    if at > now and #spend.meter.waiting >= MAX_WAITING then
      return {'refused', string.format('%.17g', at - now), 'queue', generation}
    end
  end
  for _, spend in ipairs(spends) do spend.meter.arrivals = order end
  reply = {'granted', place(at, order), tostring(order), generation}

-- The number is the booking's order.
elseif step == 'confirm' then
  local order, first = number, spends[1]
  if first and first.meter.in_flight:find(name, 1, true) then return '0' end
  -- Overdue bookings of earlier callers with the same keys are planned anew, in their order.
  local overdue = {}
  for _, booking in ipairs(first and first.meter.waiting or {}) do
    if booking[TIME] < now and booking[ORDER] < order and booking[DIGEST] == keys_digest then
      overdue[#overdue + 1] = booking
    end
  end
  table.sort(overdue, function(one, other) return one[ORDER] < other[ORDER] end)
  for _, booking in ipairs(overdue) do
    local others = {}
    for index, spend in ipairs(spends) do
      for _, other in ipairs(spend.meter.waiting) do
        if other[NAME] == booking[NAME] then others[index] = {meter = spend.meter, cost = other[COST]} end
      end
    end
    if #others == #spends then
      local at = earliest(others, booking[ORDER], booking[ORDER])
      for _, other in ipairs(others) do
        local moved = module.meter.dequeue(other.meter, booking[NAME])
        moved[TIME] = at
        module.meter.enqueue(other.meter, moved)
      end
    end
  end
  local at = earliest(spends, order, order)
  for _, spend in ipairs(spends) do module.meter.dequeue(spend.meter, name) end
  reply = place(at, order)

-- Behind the name may be what the call has cost in each budget, 8 bytes each.
elseif step == 'settle' then
  local costs = name:sub(17)
  name = name:sub(1, 16)
  for index, spend in ipairs(spends) do
    module.meter.dequeue(spend.meter, name)
    if costs ~= '' then module.meter.change_cost(spend.meter, name, (struct.unpack('<d', costs, 8 * index - 7))) end
    module.meter.finish(spend.meter, name, now)
  end

elseif step == 'release' then
  for _, spend in ipairs(spends) do
    module.meter.dequeue(spend.meter, name)
    module.meter.cancel(spend.meter, name)
  end

elseif step == 'count' then
  for _, spend in ipairs(spends) do module.meter.count(spend.meter, now, spend.cost) end

-- The name is a packed report: the place of the limit, what remains, the seconds to its reset or -1, and the seconds
-- since the call was sent.
elseif step == 'correct' then
  local spend, at, remaining, resets_in, age = spends[1], struct.unpack('<dddd', name)
  local meter, limit = spend.meter, spend.meter.limits[at]
  local reported = math.max(0, math.ceil(limit.capacity - remaining))
  local beside = math.max(0, module.log.ended_after(meter.log, now - age) - spend.cost)
  if limit.kind == 'bucket' then
    module.bucket.correct(meter, limit, reported, beside)
  elseif limit.kind ~= 'cap' then
    if resets_in < 0 then resets_in = module[limit.kind].resets_in(meter, limit) end
    module.report.correct(meter, limit, reported, beside, resets_in)
  end

-- The number is how many seconds the gates stay closed.
elseif step == 'close' then
  for _, spend in ipairs(spends) do spend.meter.gate = math.max(spend.meter.gate, now + number) end

-- For each key its limits as [label, capacity, used, seconds until nothing is used], and its gate.
elseif step == 'view' then
  local views = {}
  for index, spend in ipairs(spends) do
    local meter, limits = spend.meter, {}
    local held = meter.in_flight_cost + module.queue.cost_until(module.queue.make(meter.waiting), now)
    for place, limit in ipairs(meter.limits) do
      local label = module.meter.details(meter, limit).label
      limits[place] = {label, limit.capacity, module[limit.kind].usage(meter, limit, held)}
    end
    views[index] = {limits = limits, gate = math.max(0, meter.gate - now)}
  end
  return cjson.encode(views)
end

for _, spend in ipairs(spends) do save(spend.meter) end
return reply
