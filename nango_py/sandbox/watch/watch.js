"use strict";
// Texts of requests are only ever set as text, so that none is read as HTML.
const EVERY_MS = 1000;
const main = document.getElementById("sandboxes");
const status = document.getElementById("status");
const pause = document.getElementById("pause");
let isPaused = false;
let shown = "";

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function list(className, items, makeItem, empty) {
  if (!items.length) return make("p", "faint", empty);
  const found = make("ol", className);
  for (const item of items) {
    const line = make("li");
    line.append(...makeItem(item));
    found.append(line);
  }
  return found;
}

function budget(each) {
  const meter = make("meter");
  meter.min = 0;
  meter.max = each.limit;
  meter.value = Math.min(each.used, each.limit);
  meter.high = each.limit * 0.8;
  meter.optimum = 0;
  meter.setAttribute("aria-label", `${each.used} of ${each.limit}`);
  const owner = each.account ? `${each.key || "all"} · ${each.account}` : each.key || "all";
  return [
    make("span", "key path", owner),
    meter,
    make("span", each.used >= each.limit ? "number bad" : "number", `${each.used} of ${each.limit}`),
    make("span", "faint", each.label),
  ];
}

function tone(entry) {
  if (entry.status >= 500 || entry.status === 0) return "bad";
  return entry.status >= 400 ? "warn" : "good";
}

function request(entry) {
  const code = entry.status ? String(entry.status) : "no response";
  return [
    make("span", "faint number", `${entry.seconds_ago.toFixed(0)} s ago`),
    make("span", "", entry.method),
    make("span", "path", entry.query ? `${entry.path}?${entry.query}` : entry.path),
    make("span", "faint", entry.user || ""),
    make("span", `number ${tone(entry)}`, code),
    make("span", "faint", entry.fault ? `fault: ${entry.fault}` : ""),
  ];
}

function section(sandbox) {
  const found = make("section");
  found.append(make("h2", "", sandbox.title), make("p", "place", sandbox.base_url));
  const faults = Object.entries(sandbox.faults).map(([name, count]) => `${count} ${name}`).join(", ");
  const total = `${sandbox.total} requests, ${sandbox.logins.length} to logins and tokens`;
  found.append(make("p", "faint", faults ? `${total}; faults: ${faults}` : total));
  found.append(make("h3", "", "Budgets"), list("budgets", sandbox.budgets, budget, "Nothing is counted yet."));
  found.append(make("h3", "", "Requests"), list("requests", sandbox.requests, request, "No requests yet."));
  if (sandbox.logins.length) {
    found.append(make("h3", "", "Logins and tokens"), list("requests", sandbox.logins, request, ""));
  }
  return found;
}

async function update() {
  if (isPaused || document.hidden) return;
  try {
    const response = await fetch("state", { cache: "no-store" });
    const text = await response.text();
    if (text !== shown) {
      shown = text;
      const state = JSON.parse(text);
      main.replaceChildren(...state.sandboxes.map(section));
    }
    status.textContent = "Live";
  } catch {
    status.textContent = "The sandbox does not respond.";
  }
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  pause.textContent = isPaused ? "Continue" : "Pause";
  status.textContent = isPaused ? "Paused" : "Live";
  update();
});
update();
setInterval(update, EVERY_MS);
