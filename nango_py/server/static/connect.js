// The connect page: what a user may connect, as cards, and one of them at a time to work on.

import { Detail } from "./detail.js";
import { button, chip, kindsOf, make, mark } from "./dom.js";
import { opened } from "./session.js";

const SEARCH_FROM = 7;
const ANSWERS_WITHIN = 1500;
const at = (id) => document.getElementById(id);
const main = at("main");
const content = at("content");
const dialog = at("dialog");
const session = opened();
const isPopup = session.integration !== "" && session.attempt !== "";
let data = null;
let sole = null;

const ENDS = {
  session_expired: ["This link has expired", "Ask for a new one where you found it. What is connected stays so."],
  session_invalid: ["This link does not work", "Perhaps it was cut when it was copied. Ask for a new one."],
  none: ["There is no link to go by", "This page is opened by a link of its own. Ask for one where you came from."],
  unknown_integration: ["There is nothing to connect here", "What this link was made for is not offered any more."],
};

async function begin() {
  if (!session.isThere) return end("none");
  waiting();
  try {
    data = await session.offers();
  } catch (error) {
    return error.endsSession ? end(error.code) : unreachable(error);
  }
  framed();
  const { integrations } = data;
  const wanted = session.integration ? integrations.filter(({ name }) => name === session.integration) : integrations;
  if (!wanted.length) return end("unknown_integration");
  if (wanted.length === 1) showSole(wanted[0]);
  else showGrid();
}

function framed() {
  at("product").textContent = data.product_name;
  at("user").textContent = data.user_label ? `For ${data.user_label}` : "";
  at("bottom").hidden = false;
  main.removeAttribute("aria-busy");
  document.title = data.product_name ? `Connect your accounts · ${data.product_name}` : "Connect your accounts";
  const product = data.product_name || "this app";
  at("lead").textContent = `Choose what ${product} may work with. You can disconnect it again at any time.`;
}

function waiting() {
  const ghosts = Array.from({ length: isPopup ? 1 : 6 }, () => make("div", { class: "ghost" }));
  content.replaceChildren(make("div", { class: isPopup ? "" : "grid", "aria-hidden": "true" }, ghosts));
}

// The grid

function showGrid() {
  const search = at("search");
  search.hidden = data.integrations.length < SEARCH_FROM;
  at("query").addEventListener("input", () => {
    drawGrid();
    const found = content.querySelectorAll(".card").length;
    announce(found === 1 ? "1 account found" : `${found} accounts found`);
  });
  drawGrid();
}

function drawGrid() {
  const words = at("query").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ title, name, categories }) => {
    const text = [title, name, ...categories].join(" ").toLocaleLowerCase();
    return words.every((word) => text.includes(word));
  };
  const found = data.integrations.filter(fits);
  const groups = [
    ["Needs to be connected again", "is-due", found.filter(({ status }) => status === "needs_reauth")],
    ["Connected", "", found.filter(({ status }) => status === "connected")],
    ["Available", "", found.filter(({ status }) => status === "not_connected")],
  ].filter(([, , offers]) => offers.length);
  const sections = groups.map(([title, kind, offers], index) => {
    const heading = make("h2", { id: `group-${index}`, class: groups.length === 1 && !kind ? "unseen" : "" }, title);
    const cards = make("ul", { class: "grid", role: "list" }, offers.map((offer) => make("li", {}, card(offer))));
    return make("section", { class: `group ${kind}`, "aria-labelledby": `group-${index}` }, heading, cards);
  });
  content.replaceChildren(...(sections.length ? sections : [nothing()]));
}

function card(offer) {
  const kinds = kindsOf(offer) ? make("span", { class: "kind" }, kindsOf(offer)) : null;
  const name = make("span", { class: "name" }, offer.title);
  const words = make("span", { class: "words" }, name, kinds, chip(offer.status));
  const parts = { type: "button", class: "card", "data-name": offer.name, "aria-haspopup": "dialog" };
  return make("button", { ...parts, onclick: () => open(offer) }, mark(offer), words);
}

function nothing() {
  const query = at("query");
  const clear = () => {
    query.value = "";
    drawGrid();
    query.focus();
  };
  const text = make("p", {}, `No account here is called “${query.value.trim()}”.`);
  return make("div", { class: "empty" }, make("h2", {}, "Nothing found"), text, button("Show all", clear, "is-second"));
}

// One integration

const page = {
  session,
  isPopup,
  get data() {
    return data;
  },
  async changed(name, said) {
    try {
      data = await session.offers();
    } catch {
      const offer = data.integrations.find((other) => other.name === name);
      offer.status = /disconnected/.test(said) ? "not_connected" : "connected";
      offer.connected_at = new Date().toISOString();
    }
    if (!sole) drawGrid();
    announce(said);
  },
  ended(error) {
    if (dialog.open) dialog.close();
    end(error.code);
  },
  tell,
};

function open(offer) {
  const detail = new Detail({ __proto__: page, heading: "h2", leave: () => dialog.close() }, offer);
  dialog.replaceChildren(detail.element);
  dialog.setAttribute("aria-labelledby", "detail-title");
  dialog.onclick = (event) => {
    if (event.target === dialog && !detail.isDirty) dialog.close();
  };
  dialog.onclose = () => {
    detail.close();
    dialog.removeAttribute("aria-labelledby");
    dialog.replaceChildren();
    content.querySelector(`.card[data-name="${CSS.escape(offer.name)}"]`)?.focus();
  };
  dialog.showModal();
  detail.focus();
}

function showSole(offer) {
  at("intro").remove();
  const name = data.product_name ? ` · ${data.product_name}` : "";
  document.title = `Connect ${offer.title}${name}`;
  sole = new Detail({ __proto__: page, heading: "h1", leave: null }, offer);
  sole.element.classList.add("sole");
  content.replaceChildren(sole.element);
  const asksNothing = offer.kind === "oauth" && offer.fields.length === 0;
  if (isPopup && asksNothing) leaveFor(offer);
  else {
    if (isPopup && offer.status === "connected") sole.show("form");
    sole.focus();
  }
}

// The window of a login that asks for nothing first goes on by itself, if a page that may opened it.
async function leaveFor(offer) {
  const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
  sole.body.replaceChildren(make("p", { class: "progress", role: "status" }, spinner, `Going on to ${offer.title}…`));
  if (await isSent()) session.post(offer.name, { ...session.asked, target: "_self", config: {} });
  else {
    sole.show("form");
    sole.focus();
  }
}

// Whether the page that opened this window is the one that it is said to be, and means it. A stranger could
// send people on with a session of its own, to have their accounts.
function isSent() {
  const { opener } = window;
  if (!opener || !mayHear()) return false;
  return new Promise((resolve) => {
    addEventListener("message", ({ source, origin, data: said }) => {
      const isAnswer = source === opener && origin === session.origin && said?.source === "nango-connect";
      if (isAnswer && said.type === "GO_ON" && said.attempt === session.attempt) resolve(true);
    });
    setTimeout(resolve, ANSWERS_WITHIN, false);
    opener.postMessage({ source: "nango-connect", type: "WINDOW_OPENED", attempt: session.attempt }, session.origin);
  });
}

function mayHear() {
  return session.origin === location.origin || data.origins.includes(session.origin);
}

// Who opened or embeds this page hears how it went, if it is one of the pages that may.
function tell({ integration, missing_scopes = [] }) {
  const listener = window.opener ?? (window.parent === window ? null : window.parent);
  if (listener && mayHear()) {
    const said = { integration, attempt: session.attempt, code: "", message: "", missing_scopes };
    const message = { source: "nango-connect", type: "AUTHORIZATION_SUCEEDED", ...said };
    listener.postMessage(message, session.origin);
  }
  if (isPopup && !missing_scopes.length) setTimeout(() => window.close(), 1200);
}

// Words that no one sees are still heard.
function announce(text) {
  at("live").textContent = text;
}

function end(code) {
  const [title, text] = ENDS[code] ?? ENDS.session_invalid;
  showEnd(title, text);
}

function unreachable(error) {
  const again = button("Try again", () => location.reload());
  showEnd("This page cannot be loaded at the moment", error.message, again);
}

function showEnd(title, text, way = null) {
  main.removeAttribute("aria-busy");
  at("intro")?.remove();
  at("bottom").hidden = true;
  const heading = make("h1", { tabindex: "-1" }, title);
  const words = make("p", { class: "quiet" }, text);
  content.replaceChildren(make("section", { class: "detail sole" }, heading, words, way));
  document.title = title;
  heading.focus();
}

addEventListener("hashchange", () => location.reload());
begin();
