-- Rate limits in Redis: the arithmetic of nango_py/limits/counting under the same names, on the server and by the
-- server's clock.
--
-- KEYS: the keys of the call's budgets, then its gates; for `acquire` also the key of the generation, at the end.
-- ARGV: the step; the booking's name (16 bytes, and its time and order, 8 each, if it has a place; for `correct` the report); a number, whose meaning depends on the step; the time in seconds,
-- which only tests pass; and for `acquire`, `confirm`, `count` and `correct` a digest of the budgets' keys, then two arguments
-- for each budget: its cost, and its rules (see `pack_rules` in redis_store.py).
-- Times are seconds. Replies are text, because Redis cuts numbers down to integers.

local COUNTED_WITHIN, LOST_AFTER, ROUNDING, WITHOUT_RESET = 10, 5, 1e-9, 60
local LONGEST_GATE, LONGEST_WAIT, CLOCK_STEP = 86400, 366 * 86400, 1
local MAX_WAITING, PAGE_SIZE = 10000, 64
local TIME, ORDER, NAME, DIGEST, WAKE_AT, COST = 1, 2, 3, 4, 5, 6  -- the fields of a waiting booking
local OTHERS, UNTIL, SINCE, REPORTED_AT = 1, 2, 3, 4  -- the fields of a report

local step, name, number, keys_digest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
-- The client says `again` when it repeats an `acquire` whose reply was lost.
local is_repeated = step == 'again'
if is_repeated then step = 'acquire' end
local now, clock_step, time, order, costs = tonumber(ARGV[4]), 0
if step == 'confirm' or step == 'settle' or step == 'release' then
  time, order = struct.unpack('<dd', name, 17)
  name, costs = name:sub(1, 16), name:sub(33)
end
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

  function Log.shift(log, seconds)
    local entries = {}
    for index = 1, Log.size(log) do
      entries[index] = struct.pack('<dd', Log.time_at(log, index) + seconds, Log.total_at(log, index))
    end
    replace(log, table.concat(entries))
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

-- Queue: the waiting bookings of a meter in pages, of which a step reads a few, and lines; see queue.py. A page is the
-- field `page` and its number, a line the field `line` and the digest of its keys.
function make.queue()
  -- The fields of a page; LEVELS has two numbers for each bucket, and is false if they are unknown. They are declared
  -- here, because each name that a function shares with others costs a step without waiting bookings, too.
  local NUMBER, SIZE, TOTAL, FIRST, LAST, LAST_ORDER, MIN_ORDER, MAX_ORDER, WAKES_AT, LEVELS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
  local LINE_SIZE, LINE_LAST, MOVED_UNTIL = 1, 2, 3  -- the fields of a line
  local Queue = {}

  local function compare(time, order, other_time, other_order)
    return time < other_time or time == other_time and order < other_order
  end

  -- The index of the first page whose last booking is not before this place.
  local function page_index(queue, time, order)
    local low, high = 1, #queue.pages + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      local page = queue.pages[middle]
      if compare(page[LAST], page[LAST_ORDER], time, order) then low = middle + 1 else high = middle end
    end
    return low
  end

  local function entry_index(entries, time, order)
    local low, high = 1, #entries + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if compare(entries[middle][TIME], entries[middle][ORDER], time, order) then low = middle + 1 else high = middle end
    end
    return low
  end

  local function measure(page, entries)
    local last = entries[#entries]
    local total, min_order, max_order, wakes_at = 0, math.huge, 0, math.huge
    for _, entry in ipairs(entries) do
      total = total + entry[COST]
      min_order, max_order = math.min(min_order, entry[ORDER]), math.max(max_order, entry[ORDER])
      wakes_at = math.min(wakes_at, entry[WAKE_AT])
    end
    page[SIZE], page[TOTAL], page[FIRST], page[LAST], page[LAST_ORDER] = #entries, total, entries[1][TIME], last[TIME], last[ORDER]
    page[MIN_ORDER], page[MAX_ORDER], page[WAKES_AT], page[LEVELS] = min_order, max_order, wakes_at, false
  end

  local function new_page(queue, entries)
    queue.next = queue.next + 1
    local page = {queue.next}
    queue.entries[page[NUMBER]], queue.changed[page[NUMBER]] = entries, true
    measure(page, entries)
    return page
  end

  local function drop_page(queue, index)
    local number = table.remove(queue.pages, index)[NUMBER]
    queue.entries[number], queue.changed[number] = nil, nil
    queue.dropped[#queue.dropped + 1] = 'page ' .. number
  end

  function Queue.make(key, stored)
    return {key = key, next = stored[1], pages = stored[2], entries = {}, lines = {}, changed = {}, dropped = {}}
  end

  function Queue.entries(queue, page)
    local entries = queue.entries[page[NUMBER]]
    if not entries then
      local packed, found = redis.call('HGET', queue.key, 'page ' .. page[NUMBER]), {}
      for _, entry in ipairs(packed and cmsgpack.unpack(packed) or {}) do
        if entry[TIME] <= now + LONGEST_WAIT and entry[COST] > 0 then found[#found + 1] = entry end
      end
      entries = found
      queue.entries[page[NUMBER]] = entries
    end
    return entries
  end

  function Queue.line(queue, digest)
    local line = queue.lines[digest]
    if not line then
      local packed = redis.call('HGET', queue.key, 'line ' .. digest)
      line = packed and {struct.unpack('<ddd', packed)} or {0, 0, 0}
      queue.lines[digest] = line
    end
    return line
  end

  function Queue.insert(queue, entry)
    local time, order, pages = entry[TIME], entry[ORDER], queue.pages
    local line = Queue.line(queue, entry[DIGEST])
    line[LINE_SIZE], line[LINE_LAST] = line[LINE_SIZE] + 1, math.max(line[LINE_LAST], time)
    local at = page_index(queue, time, order)
    if at > #pages and (at == 1 or pages[#pages][SIZE] >= PAGE_SIZE) then
      pages[at] = new_page(queue, {entry})
      return
    end
    at = math.min(at, #pages)
    local page = pages[at]
    local entries = Queue.entries(queue, page)
    table.insert(entries, entry_index(entries, time, order), entry)
    if #entries > PAGE_SIZE then
      local halves, half = {{}, {}}, math.floor(#entries / 2)
      for index, other in ipairs(entries) do table.insert(halves[index <= half and 1 or 2], other) end
      drop_page(queue, at)
      table.insert(pages, at, new_page(queue, halves[1]))
      table.insert(pages, at + 1, new_page(queue, halves[2]))
      return
    end
    queue.changed[page[NUMBER]] = true
    local last = entries[#entries]
    page[SIZE], page[TOTAL], page[FIRST], page[LAST], page[LAST_ORDER] = #entries, page[TOTAL] + entry[COST], entries[1][TIME], last[TIME], last[ORDER]
    page[MIN_ORDER], page[MAX_ORDER] = math.min(page[MIN_ORDER], order), math.max(page[MAX_ORDER], order)
    page[WAKES_AT], page[LEVELS] = math.min(page[WAKES_AT], entry[WAKE_AT]), false
  end

  local function find_in(queue, page, order)
    if page and page[MIN_ORDER] <= order and order <= page[MAX_ORDER] then
      for _, entry in ipairs(Queue.entries(queue, page)) do
        if entry[ORDER] == order then return entry end
      end
    end
  end

  -- The booking of this order, at this time or, if it was planned again, at another.
  function Queue.find(queue, time, order)
    local found = find_in(queue, queue.pages[page_index(queue, time, order)], order)
    for _, page in ipairs(queue.pages) do
      if found then return found end
      found = find_in(queue, page, order)
    end
    return found
  end

  -- The booking of this name, which may be anywhere.
  function Queue.find_name(queue, name)
    for _, page in ipairs(queue.pages) do
      for _, entry in ipairs(Queue.entries(queue, page)) do
        if entry[NAME] == name then return entry end
      end
    end
  end

  -- Gives the time of the last booking of a line with a lower order, not after a moment.
  local function last_of(queue, digest, order, stop)
    for index = #queue.pages, 1, -1 do
      local page = queue.pages[index]
      if page[FIRST] <= stop and page[MIN_ORDER] < order then
        local entries = Queue.entries(queue, page)
        for place = #entries, 1, -1 do
          local entry = entries[place]
          if entry[TIME] <= stop and entry[ORDER] < order and entry[DIGEST] == digest then return entry[TIME] end
        end
      end
    end
    return 0
  end

  function Queue.last_before(queue, digest, order, time)
    local line = Queue.line(queue, digest)
    if line[LINE_SIZE] == 0 then return 0 end
    return last_of(queue, digest, order, math.max(time, line[MOVED_UNTIL]))
  end

  local function merge(queue, at)
    for first = at, at - 1, -1 do
      local one, other = queue.pages[first], queue.pages[first + 1]
      if one and other and one[SIZE] + other[SIZE] <= PAGE_SIZE / 2 then
        local entries = {}
        for _, entry in ipairs(Queue.entries(queue, one)) do entries[#entries + 1] = entry end
        for _, entry in ipairs(Queue.entries(queue, other)) do entries[#entries + 1] = entry end
        drop_page(queue, first)
        drop_page(queue, first)
        table.insert(queue.pages, first, new_page(queue, entries))
        return
      end
    end
  end

  function Queue.remove(queue, entry)
    local at = page_index(queue, entry[TIME], entry[ORDER])
    local page = queue.pages[at]
    local entries = Queue.entries(queue, page)
    table.remove(entries, entry_index(entries, entry[TIME], entry[ORDER]))
    if #entries == 0 then
      drop_page(queue, at)
    else
      local last = entries[#entries]
      page[SIZE], page[TOTAL], page[FIRST], page[LAST], page[LAST_ORDER] = #entries, page[TOTAL] - entry[COST], entries[1][TIME], last[TIME], last[ORDER]
      page[LEVELS], queue.changed[page[NUMBER]] = false, true
    end
    merge(queue, at)
    local line = Queue.line(queue, entry[DIGEST])
    line[LINE_SIZE] = line[LINE_SIZE] - 1
    if line[LINE_SIZE] <= 0 then
      line[LINE_SIZE], line[LINE_LAST], line[MOVED_UNTIL] = 0, 0, 0
    elseif line[LINE_LAST] <= entry[TIME] then
      line[LINE_LAST] = last_of(queue, entry[DIGEST], math.huge, math.huge)
    end
  end

  -- Removes the bookings whose callers should have asked for long, and pages that no step can have written.
  function Queue.expire(queue)
    local waking = {}
    for index = #queue.pages, 1, -1 do
      local page = queue.pages[index]
      if not (page[LAST] <= now + LONGEST_WAIT and page[TOTAL] > 0 and page[SIZE] > 0) then
        drop_page(queue, index)
      elseif page[WAKES_AT] + LOST_AFTER < now then
        local entries = Queue.entries(queue, page)
        if #entries ~= page[SIZE] then
          if #entries == 0 then drop_page(queue, index) else measure(page, entries) end
        end
        if #entries > 0 then table.insert(waking, 1, {page, entries}) end
      end
    end
    for _, found in ipairs(waking) do
      local page, entries = unpack(found)
      local lost, wakes_at = {}, math.huge
      for _, entry in ipairs(entries) do
        if entry[WAKE_AT] + LOST_AFTER < now then lost[#lost + 1] = entry end
      end
      for _, entry in ipairs(lost) do Queue.remove(queue, entry) end
      for _, entry in ipairs(entries) do wakes_at = math.min(wakes_at, entry[WAKE_AT]) end
      page[WAKES_AT] = wakes_at
    end
  end

  -- The due bookings of a line that arrived before this order, in order of arrival.
  function Queue.overdue(queue, digest, order)
    local found = {}
    for _, page in ipairs(queue.pages) do
      if page[FIRST] >= now then break end
      for _, entry in ipairs(page[MIN_ORDER] < order and Queue.entries(queue, page) or {}) do
        if entry[TIME] < now and entry[ORDER] < order and entry[DIGEST] == digest then found[#found + 1] = entry end
      end
    end
    table.sort(found, function(one, other) return one[ORDER] < other[ORDER] end)
    return found
  end

  -- Remembers that a booking of these budgets was planned again.
  function Queue.move(spends, digest, moment)
    for _, spend in ipairs(spends) do
      local line = Queue.line(spend.meter.waiting, digest)
      line[MOVED_UNTIL] = math.max(line[MOVED_UNTIL], moment)
    end
  end

  function Queue.last_time(queue) return queue.pages[#queue.pages][LAST] end

  function Queue.last_of_line(queue, digest) return Queue.line(queue, digest)[LINE_LAST] end

  function Queue.forget_levels(queue)
    for _, page in ipairs(queue.pages) do page[LEVELS] = false end
  end

  function Queue.size(queue)
    local size = 0
    for _, page in ipairs(queue.pages) do size = size + page[SIZE] end
    return size
  end

  -- What the bookings of a page do to the tokens of a bucket; see page_level in queue.py.
  local function page_level(entries, bucket)
    local most, gain, since = bucket.capacity, 0, entries[1][TIME]
    for _, entry in ipairs(entries) do
      local refilled = (entry[TIME] - since) * bucket.rate
      most, gain, since = math.min(bucket.capacity, most + refilled) - entry[COST], gain + refilled - entry[COST], entry[TIME]
    end
    return most, gain
  end

  function Queue.levels(queue, page, limits)
    if not page[LEVELS] then
      local levels = {}
      for _, limit in ipairs(limits) do
        if limit.kind == 'bucket' then
          levels[#levels + 1], levels[#levels + 2] = page_level(Queue.entries(queue, page), limit)
        end
      end
      page[LEVELS] = levels
    end
    return page[LEVELS]
  end

  function Queue.save(queue, limits)
    for _, field in ipairs(queue.dropped) do redis.call('HDEL', queue.key, field) end
    for number in pairs(queue.changed) do
      redis.call('HSET', queue.key, 'page ' .. number, cmsgpack.pack(queue.entries[number]))
    end
    for digest, line in pairs(queue.lines) do
      if line[LINE_SIZE] > 0 then
        redis.call('HSET', queue.key, 'line ' .. digest, struct.pack('<ddd', unpack(line)))
      else
        redis.call('HDEL', queue.key, 'line ' .. digest)
      end
    end
    if #queue.pages == 0 then return '' end
    for _, page in ipairs(queue.pages) do Queue.levels(queue, page, limits) end
    return cmsgpack.pack({queue.next, queue.pages})
  end

  return Queue
end

-- View: the bookings of a queue with a lower order than `before`, or all; the same as in queue.py.
function make.view()
  local SIZE, TOTAL, FIRST, LAST, MIN_ORDER, MAX_ORDER = 2, 3, 4, 5, 7, 8  -- the fields of a page
  local View = {}

  function View.make(queue, before)
    return {queue = queue, before = before, next = 1, pages = {}, lists = {}, firsts = {}, lasts = {}, totals = {}}
  end

  View.nothing = View.make({pages = {}})

  function View.value_at(list, index) return list[index] end

  local function read_page(view)
    local page, before, list = view.queue.pages[view.next], view.before, false
    view.next = view.next + 1
    local first, last, total = page[FIRST], page[LAST], page[TOTAL]
    if before and page[MAX_ORDER] >= before then
      if page[MIN_ORDER] >= before then return end
      list, total = {}, 0
      for _, entry in ipairs(module.queue.entries(view.queue, page)) do
        if entry[ORDER] < before then list[#list + 1], total = entry, total + entry[COST] end
      end
      if #list == 0 then return end
      first, last = list[1][TIME], list[#list][TIME]
    end
    local at = #view.pages + 1
    view.pages[at], view.lists[at], view.firsts[at], view.lasts[at] = page, list, first, last
    view.totals[at] = (view.totals[at - 1] or 0) + total
  end

  local function read_until(view, moment)
    local pages = view.queue.pages
    while pages[view.next] and pages[view.next][FIRST] <= moment do read_page(view) end
  end

  local function list_of(view, at) return view.lists[at] or module.queue.entries(view.queue, view.pages[at]) end

  function View.total(view)
    read_until(view, math.huge)
    return view.totals[#view.totals] or 0
  end

  function View.cost_until(view, moment, is_before)
    read_until(view, moment)
    local at = 0
    while view.lasts[at + 1] and (view.lasts[at + 1] < moment or not is_before and view.lasts[at + 1] == moment) do at = at + 1 end
    local total = view.totals[at] or 0
    if view.firsts[at + 1] and view.firsts[at + 1] <= moment then
      for _, entry in ipairs(list_of(view, at + 1)) do
        if entry[TIME] < moment or not is_before and entry[TIME] == moment then total = total + entry[COST] end
      end
    end
    return total
  end

  function View.cost_before(view, moment) return View.cost_until(view, moment, true) end

  function View.time_of(view, total)
    while view.queue.pages[view.next] and (view.totals[#view.totals] or 0) < total do read_page(view) end
    local at = bisect_right(#view.totals, View.value_at, view.totals, total - 1) + 1
    local reached = view.totals[at - 1] or 0
    for _, entry in ipairs(list_of(view, at)) do
      reached = reached + entry[COST]
      if reached >= total then return entry[TIME] end
    end
  end

  -- The last of the times after a moment and before another that a test accepts.
  function View.last_between(view, moment, stop, accepts)
    read_until(view, stop)
    for at = #view.pages, 1, -1 do
      if view.lasts[at] <= moment then return end
      local list = view.firsts[at] < stop and list_of(view, at) or {}
      for index = #list, 1, -1 do
        local time = list[index][TIME]
        if moment < time and time < stop and accepts(time) then return time end
      end
    end
  end

  -- The times and costs of the bookings after a moment.
  function View.after(view, moment)
    read_until(view, math.huge)
    local times, costs = {}, {}
    for at = bisect_right(#view.lasts, View.value_at, view.lasts, moment) + 1, #view.lasts do
      for _, entry in ipairs(list_of(view, at)) do
        if entry[TIME] > moment then times[#times + 1], costs[#costs + 1] = entry[TIME], entry[COST] end
      end
    end
    return times, costs
  end

  -- The tokens of a bucket after the last booking that is after now and not after a moment, and its time.
  function View.tokens_after(view, meter, bucket, level, stop)
    local place, since = -1, now
    for index = 1, bucket.place do
      if meter.limits[index].kind == 'bucket' then place = place + 2 end
    end
    read_until(view, stop)
    for at = bisect_right(#view.lasts, View.value_at, view.lasts, now) + 1, bisect_right(#view.firsts, View.value_at, view.firsts, stop) do
      local page, list = view.pages[at], view.lists[at]
      if (not list or #list == page[SIZE]) and view.firsts[at] > now and view.lasts[at] <= stop then
        local levels = module.queue.levels(view.queue, page, meter.limits)
        level = math.min(levels[place], math.min(bucket.capacity, level + (page[FIRST] - since) * bucket.rate) + levels[place + 1])
        since = page[LAST]
      else
        for _, entry in ipairs(list_of(view, at)) do
          if now < entry[TIME] and entry[TIME] <= stop then
            level = math.min(bucket.capacity, level + (entry[TIME] - since) * bucket.rate) - entry[COST]
            since = entry[TIME]
          end
        end
      end
    end
    return level, since
  end

  return View
end

local function waiting_size(meter) return meter.waiting and module.queue.size(meter.waiting) or 0 end

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
    local waiting = module.view.cost_until(queue, stop) + others
    if first >= now then return waiting - module.view.cost_until(queue, first) end
    first = math.max(first, since_at(report, stop))
    return module.log.ended_after(meter.log, first) + meter.in_flight_cost + waiting
  end

  -- The moment of the `over`-th that counts in the window that ends at this moment.
  local function nth_after(meter, queue, report, moment, span, over)
    local first = moment - span
    if first >= now then return module.view.time_of(queue, module.view.cost_until(queue, first) + over) end
    local log = meter.log
    local total = module.log.total_until(log, math.max(first, since_at(report, moment))) + over
    if total <= log.total then return module.log.time_of(log, total) end
    local waiting = total - log.total - meter.in_flight_cost
    return waiting <= 0 and now or math.max(now, module.view.time_of(queue, waiting))
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
    return module.view.last_between(queue, moment, moment + span, function(time)
      return used_within(meter, queue, report, time, span) > room
    end)
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
    local index = bisect_right(#boundaries, module.view.value_at, boundaries, at)
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
      local used = module.view.cost_before(queue, stop) + others_at(report, moment)
      if first <= now then
        first = math.max(first, since_at(report, moment))
        used = used + module.log.ended_after(log, first) + meter.in_flight_cost
      else
        used = used - module.view.cost_before(queue, first)
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
    return since + (bucket.capacity - level + meter.in_flight_cost + waiting_size(meter)) / bucket.rate
  end

  -- For each of the later bookings, the tokens that must be there just before it so that it and all after it fit.
  local function tokens_needed(times, costs, rate)
    local needed, following = {[#times + 1] = 0}, math.huge
    for index = #times, 1, -1 do
      needed[index] = costs[index] + math.max(0, needed[index + 1] - (following - times[index]) * rate)
      following = times[index]
    end
    return needed
  end

  function Bucket.earliest(meter, queue, bucket, from, cost)
    local burst, rate = bucket.capacity, bucket.rate
    local level = Bucket.level(meter, bucket, now) - meter.in_flight_cost - module.view.cost_until(queue, now)
    local level, since = module.view.tokens_after(queue, meter, bucket, level, from)
    local times, costs = module.view.after(queue, from)
    local needed = tokens_needed(times, costs, rate)
    for index = 1, #times + 1 do
      local next_booking = times[index] or math.huge
      local at = math.max(from, since)
      local tokens = math.min(burst, level + (at - since) * rate)
      if tokens < cost - ROUNDING then at, tokens = at + (cost - tokens) / rate, cost end
      local left = math.min(burst, tokens - cost + (next_booking - at) * rate)
      if at <= next_booking and left >= needed[index] - ROUNDING then return at end
      level = math.min(burst, level + (next_booking - since) * rate) - (costs[index] or 0)
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
    if meter.in_flight_cost + module.view.cost_until(queue, now) + cost <= cap.capacity then return from end
    return math.max(from, now + POLL_SECONDS * (1 + module.view.total(queue) / cap.capacity))
  end

  function Cap.usage(meter) return meter.in_flight_cost, 0 end

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
-- `waiting` (the pages of the queue) are MessagePack.
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

  function Meter.shift(meter, seconds)
    local flights = {}
    for first = 1, #meter.in_flight, 32 do
      local name, sent, cost = struct.unpack('<c16dd', meter.in_flight, first)
      flights[#flights + 1] = name .. struct.pack('<dd', sent + seconds, cost)
    end
    meter.in_flight = table.concat(flights)
    meter.gate, meter.kept_until = meter.gate + seconds, 0
    module.log.shift(meter.log, seconds)
    for _, level in pairs(meter.levels) do level[2] = level[2] + seconds end
    for _, report in pairs(meter.reports) do
      for _, field in ipairs({UNTIL, SINCE, REPORTED_AT}) do report[field] = report[field] + seconds end
    end
  end

  function Meter.finish(meter, name, moment)
    local cost = Meter.cancel(meter, name)
    if cost then Meter.count(meter, moment, cost) end
    return cost
  end

  function Meter.dequeue(meter, time, order)
    if not meter.waiting then return end
    local entry = module.queue.find(meter.waiting, time, order)
    if entry then module.queue.remove(meter.waiting, entry) end
    return entry
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

local STATE = '<ddddddddddI4c0I4c0I4c0I4c0I4c0'
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
end

-- Saves a meter until forgetting it changes nothing.
local function save(meter)
  local log, levels, waiting, reports, ends = meter.log, '', '', '', meter.gate
  if meter.in_flight ~= '' then
    local last_sent = struct.unpack('<d', meter.in_flight, #meter.in_flight - 15)
    ends = math.max(ends, last_sent + meter.in_flight_seconds + meter.longest)
  end
  if log.first < math.huge then ends = math.max(ends, log.last + meter.longest) end
  local pages = meter.waiting and meter.waiting.pages
  if pages and pages[1] then ends = math.max(ends, module.queue.last_time(meter.waiting) + COUNTED_WITHIN + meter.longest) end
  for _, limit in ipairs(meter.limits) do
    if limit.kind == 'bucket' then ends = math.max(ends, module.bucket.full_at(meter, limit)) end
  end
  for _, report in pairs(meter.reports) do
    ends = math.max(ends, report[UNTIL], report[REPORTED_AT] + meter.longest)
  end
  if next(meter.reports) then reports = cmsgpack.pack(meter.reports) end
  if next(meter.levels) then levels = cmsgpack.pack(meter.levels) end
  if ends <= now then return redis.call('DEL', log.key) end
  if pages then waiting = module.queue.save(meter.waiting, meter.limits) end
  -- Setting a TTL is expensive, so it is set to last for some more calls.
  local must_extend = ends > meter.kept_until
  if must_extend then meter.kept_until = ends + COUNTED_WITHIN end
  redis.call('HSET', log.key, 'state', struct.pack(STATE, meter.gate, meter.arrivals, meter.kept_until,
    meter.in_flight_cost, log.dropped, log.total, log.merge_above, log.first, log.last, now, #meter.rules,
    meter.rules, #levels, levels, #waiting, waiting, #meter.in_flight, meter.in_flight, #reports, reports))
  if log.is_changed then redis.call('HSET', log.key, 'log', log.entries) end
  if must_extend and clock_step > 0 then
    redis.call('PEXPIRE', log.key, math.ceil((meter.kept_until - now) * 1000))
  end
end

local function load(key, new_rules)
  local state = redis.call('HGET', key, 'state')
    or struct.pack(STATE, 0, 0, 0, 0, 0, 0, 0, math.huge, 0, 0, #NO_RULES, NO_RULES, 0, '', 0, '', 0, '', 0, '')
  local gate, arrivals, kept_until, in_flight_cost, dropped, total, merge_above, first, last, saved_at, old_rules, levels,
    waiting, in_flight, reports = struct.unpack(STATE, state)
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
    waiting = false,
    -- Reports of other limits are forgotten.
    reports = reports ~= '' and rules:sub(1, at - 1) == old_rules:sub(1, at - 1) and cmsgpack.unpack(reports) or {},
  }
  local is_set_back = saved_at > now + CLOCK_STEP and saved_at < math.huge
  if is_set_back then
    -- The time that has passed since is unknown, so none has. Waiting callers confirm and are booked again.
    module.meter.shift(meter, now - saved_at)
    redis.call('DEL', key)
    waiting = ''
  end
  correct_numbers(meter)
  if is_set_back then save(meter) end
  if waiting ~= '' then
    local queue = module.queue.make(key, cmsgpack.unpack(waiting))
    meter.waiting = queue
    if rules:sub(1, at - 1) ~= old_rules:sub(1, at - 1) then
      module.queue.forget_levels(queue)
    end
    module.queue.expire(queue)
  end
  if in_flight ~= '' and struct.unpack('<d', in_flight, 17) + in_flight_seconds <= now then
    module.meter.finish_late(meter)
  end
  if log.first <= now - longest then module.log.drop_until(log, now - longest) end
  for place, report in pairs(meter.reports) do
    if not module.report.matters(report, longest) then meter.reports[place] = nil end
  end
  return meter
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

-- The first moment that every gate and every limit allows, and the label of what decided. `time` is the place that a
-- booking has had; without one, it is new.
local function earliest(spends, order, time)
  local at, label, is_quiet, views = now, 'Retry-After', true, {}
  for _, gate in ipairs(gates) do at = math.max(at, gate.gate) end
  for index, spend in ipairs(spends) do
    local meter, queue = spend.meter, spend.meter.waiting
    if spend.cost > meter.max_cost then return math.huge, module.meter.smallest_label(meter) end
    if queue then
      views[index], is_quiet = module.view.make(queue, time and order), false
      -- Never before the last booking with the same keys that came before this one.
      local last = time and module.queue.last_before(queue, keys_digest, order, time)
      at = math.max(at, last or module.queue.last_of_line(queue, keys_digest))
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
        local moment = has_room and at or module[limit.kind].earliest(meter, views[index] or module.view.nothing, limit, at, cost)
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
      meter.waiting = meter.waiting or module.queue.make(meter.log.key, {0, {}})
      module.queue.insert(meter.waiting, {at, order, name, keys_digest, at, spend.cost})
    end
  end
  if at <= now then return '0', '0' end
  return string.format('%.17g', at - now + clock_step), string.format('%.17g', at)
end

-- The steps: each changes the meters and sets the reply.

local reply

-- The number is the longest acceptable wait.
if step == 'acquire' then
  local order = 1
  for _, spend in ipairs(spends) do
    local meter = spend.meter
    order = math.max(order, meter.arrivals + 1)
    if meter.in_flight:find(name, 1, true) then module.meter.cancel(meter, name) end
    local booked = is_repeated and meter.waiting and module.queue.find_name(meter.waiting, name)
    if booked then module.queue.remove(meter.waiting, booked) end
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
    if at > now and waiting_size(spend.meter) >= MAX_WAITING then
      return {'refused', string.format('%.17g', at - now), 'queue', generation}
    end
  end
  for _, spend in ipairs(spends) do spend.meter.arrivals = order end
  local wait, moment = place(at, order)
  reply = {'granted', wait, tostring(order), generation, moment}

elseif step == 'confirm' then
  local first = spends[1]
  if first and first.meter.in_flight:find(name, 1, true) then return {'0', '0'} end
  local at = earliest(spends, order, time)
  if at > now and first then
    -- Overdue bookings of earlier callers with the same keys are planned anew, in their order.
    for _, booking in ipairs(first.meter.waiting and module.queue.overdue(first.meter.waiting, keys_digest, order) or {}) do
      local others, found, was_at = {}, {}, booking[TIME]
      for _, spend in ipairs(spends) do
        local other = spend.meter.waiting and module.queue.find(spend.meter.waiting, was_at, booking[ORDER])
        if other then
          others[#others + 1], found[#found + 1] = {meter = spend.meter, cost = other[COST]}, other
        end
      end
      if #others == #spends then
        local moved_to = earliest(others, booking[ORDER], was_at)
        for index, other in ipairs(others) do
          module.queue.remove(other.meter.waiting, found[index])
          found[index][TIME] = moved_to
          module.queue.insert(other.meter.waiting, found[index])
        end
        module.queue.move(others, keys_digest, moved_to)
      end
    end
    at = earliest(spends, order, time)
  end
  for _, spend in ipairs(spends) do module.meter.dequeue(spend.meter, time, order) end
  reply = {place(at, order)}
  if at > now then module.queue.move(spends, keys_digest, at) end

-- Behind the name, time and order may be what the call has cost in each budget, 8 bytes each.
elseif step == 'settle' then
  for index, spend in ipairs(spends) do
    if costs ~= '' then module.meter.change_cost(spend.meter, name, (struct.unpack('<d', costs, 8 * index - 7))) end
    if not module.meter.finish(spend.meter, name, now) then module.meter.dequeue(spend.meter, time, order) end
  end

elseif step == 'release' then
  for _, spend in ipairs(spends) do
    if not module.meter.cancel(spend.meter, name) then module.meter.dequeue(spend.meter, time, order) end
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
    local held = meter.in_flight_cost
    if meter.waiting then held = held + module.view.cost_until(module.view.make(meter.waiting), now) end
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
