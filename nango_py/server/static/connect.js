// The connect page: a card for each integration, and a dialog or page for one of them.

import { Detail } from "./detail.js";
import { button, chip, kindsOf, make, mark } from "./dom.js";
import { openSession } from "./session.js";

const SEARCH_FROM = 7;
const CONFIRMATION_TIMEOUT = 1500;
const at = (id) => document.getElementById(id);
const main = at("main");
const content = at("content");
const dialog = at("dialog");
const session = openSession();
const isPopup = session.integration !== "" && session.attempt !== "";
let data = null;
let single = null;

const END_MESSAGES = {
  session_expired: ["This link has expired", "Please ask for a new one. Your connected accounts stay connected."],
  session_invalid: ["This link does not work", "It may not have been copied completely. Please ask for a new one."],
  none: ["This page needs a link", "Please open it with the link that you were given."],
  unknown_integration: ["There is nothing to connect here", "What this link was made for is no longer available."],
};

async function begin() {
  if (!session.hasToken) return end("none");
  showPlaceholders();
  try {
    data = await session.load();
  } catch (error) {
    return error.endsSession ? end(error.code) : showUnreachable(error);
  }
  showFrame();
  const { integrations } = data;
  const wanted = session.integration ? integrations.filter(({ name }) => name === session.integration) : integrations;
  if (!wanted.length) return end("unknown_integration");
  if (wanted.length === 1) showSingle(wanted[0]);
  else showGrid();
}

function showFrame() {
  at("product").textContent = data.product_name;
  at("user").textContent = data.user_label ? `For ${data.user_label}` : "";
  at("bottom").hidden = false;
  main.removeAttribute("aria-busy");
  document.title = data.product_name ? `Connect your accounts · ${data.product_name}` : "Connect your accounts";
  const product = data.product_name || "this app";
  at("lead").textContent = `Choose the accounts that ${product} may use. You can disconnect them at any time.`;
}

function showPlaceholders() {
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
  const matches = ({ title, name, categories }) => {
    const text = [title, name, ...categories].join(" ").toLocaleLowerCase();
    return words.every((word) => text.includes(word));
  };
  const found = data.integrations.filter(matches);
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
  content.replaceChildren(...(sections.length ? sections : [emptyMessage()]));
}

function card(offer) {
  const kinds = kindsOf(offer) ? make("span", { class: "kind" }, kindsOf(offer)) : null;
  const name = make("span", { class: "name" }, offer.title);
  const words = make("span", { class: "words" }, name, kinds, chip(offer.status));
  const parts = { type: "button", class: "card", "data-name": offer.name, "aria-haspopup": "dialog" };
  return make("button", { ...parts, onclick: () => open(offer) }, mark(offer), words);
}

function emptyMessage() {
  const query = at("query");
  const clear = () => {
    query.value = "";
    drawGrid();
    query.focus();
  };
  const text = make("p", {}, `No account matches “${query.value.trim()}”.`);
  return make("div", { class: "empty" }, make("h2", {}, "Nothing found"), text, button("Show all", clear, "is-second"));
}

// One integration

const page = {
  session,
  isPopup,
  get data() {
    return data;
  },
  async refresh(name, text) {
    try {
      data = await session.load();
    } catch {
      const offer = data.integrations.find((other) => other.name === name);
      offer.status = /disconnected/.test(text) ? "not_connected" : "connected";
      offer.connected_at = new Date().toISOString();
    }
    if (!single) drawGrid();
    announce(text);
  },
  ended(error) {
    if (dialog.open) dialog.close();
    end(error.code);
  },
  reportResult,
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

function showSingle(offer) {
  at("intro").remove();
  const name = data.product_name ? ` · ${data.product_name}` : "";
  document.title = `Connect ${offer.title}${name}`;
  single = new Detail({ __proto__: page, heading: "h1", leave: null }, offer);
  single.element.classList.add("sole");
  content.replaceChildren(single.element);
  const asksNothing = offer.kind === "oauth" && offer.fields.length === 0;
  if (isPopup && asksNothing) leaveFor(offer);
  else {
    if (isPopup && offer.status === "connected") single.show("form");
    single.focus();
  }
}

// A login without a form continues at once if the window was opened by a page that may do so.
async function leaveFor(offer) {
  const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
  single.body.replaceChildren(make("p", { class: "progress", role: "status" }, spinner, `Continuing to ${offer.title}…`));
  if (await isConfirmedByOpener()) session.post(offer.name, { ...session.request, target: "_self", config: {} });
  else {
    single.show("form");
    single.focus();
  }
}

// Whether the opener has the origin that the link names, and started this attempt. A foreign page could send
// its visitors here with its own session, to gain access to their accounts.
function isConfirmedByOpener() {
  const { opener } = window;
  if (!opener || !mayReceiveResult()) return false;
  return new Promise((resolve) => {
    addEventListener("message", ({ source, origin, data: reply }) => {
      const isFromOpener = source === opener && origin === session.origin && reply?.source === "nango-connect";
      if (isFromOpener && reply.type === "GO_ON" && reply.attempt === session.attempt) resolve(true);
    });
    setTimeout(resolve, CONFIRMATION_TIMEOUT, false);
    opener.postMessage({ source: "nango-connect", type: "WINDOW_OPENED", attempt: session.attempt }, session.origin);
  });
}

function mayReceiveResult() {
  return session.origin === location.origin || data.origins.includes(session.origin);
}

// Sends the result to the page that opened or embeds this one, if it may receive it.
function reportResult({ integration, missing_scopes = [] }) {
  const receiver = window.opener ?? (window.parent === window ? null : window.parent);
  if (receiver && mayReceiveResult()) {
    const result = { integration, attempt: session.attempt, code: "", message: "", missing_scopes };
    const message = { source: "nango-connect", type: "AUTHORIZATION_SUCEEDED", ...result };
    receiver.postMessage(message, session.origin);
  }
  if (isPopup && !missing_scopes.length) setTimeout(() => window.close(), 1200);
}

// For screen readers.
function announce(text) {
  at("live").textContent = text;
}

function end(code) {
  const [title, text] = END_MESSAGES[code] ?? END_MESSAGES.session_invalid;
  showEnd(title, text);
}

function showUnreachable(error) {
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
