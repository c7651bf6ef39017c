// The connect page: a card for each integration, and a dialog or page for one of them.

import { Detail } from "./detail.js";
import { button, chip, kindsOf, link, make, mark, stateOf } from "./dom.js";
import { openSession } from "./session.js";
import { t, use } from "./words.js";

const SEARCH_FROM = 7;
const COLUMNS_FROM = 6;
const CONFIRMATION_TIMEOUT = 1500;
const at = (id) => document.getElementById(id);
const main = at("main");
const content = at("content");
const dialog = at("dialog");
const session = openSession();
const isPopup = session.integration !== "" && session.attempt !== "";
let data = null;
let single = null;

const ENDS = {
  session_expired: "end_expired",
  session_invalid: "end_invalid",
  none: "end_no_link",
  unknown_integration: "end_nothing",
};

async function begin() {
  if (!session.hasToken) return end("none");
  showPlaceholders();
  try {
    data = await session.load();
    use(data);
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
  const { product_name: name, brand } = data;
  const logo = brand.logo ? make("img", { src: brand.logo, alt: name }) : null;
  at("product").replaceChildren(...[logo ?? name].filter(Boolean));
  at("user").replaceChildren(...[data.user_label && t("for_user", { user: data.user_label }), wayBack()].filter(Boolean));
  at("bottom").hidden = false;
  if (brand.support_url) at("bottom").append(make("p", {}, supportLink(brand.support_url)));
  if (brand.color) paint(brand.color);
  main.removeAttribute("aria-busy");
  setTitle(t("connect_accounts"));
  at("lead").textContent = t("choose_accounts", { product: name || t("this_app") });
  at("query").placeholder = t("search");
}

function setTitle(text) {
  document.title = data.product_name ? `${text} · ${data.product_name}` : text;
}

// The link to the page of the product, which the session names.
function wayBack() {
  if (!/^https?:\/\//i.test(data.return_url)) return null;
  const text = t("return_to", { product: data.product_name || t("this_app") });
  return make("a", { href: data.return_url, class: "way-back", rel: "noreferrer" }, text);
}

function supportLink(address) {
  if (address.startsWith("mailto:")) return make("a", { href: address }, t("support"));
  return link(address, t("support"));
}

// The buttons take the product's colour, and their text black or white, whichever is easier to read (WCAG 2.2).
function paint(color) {
  const parts = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16) / 255);
  const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  const { style } = document.documentElement;
  style.setProperty("--action", color);
  style.setProperty("--action-over", color);
  style.setProperty("--on-action", luminance > 0.179 ? "#000000" : "#ffffff");
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
    announce(found === 1 ? t("account_found") : t("accounts_found", { count: found }));
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
    [stateOf("needs_reauth"), "is-due", found.filter(({ status }) => status === "needs_reauth")],
    [stateOf("connected"), "", found.filter(({ status }) => status === "connected")],
    [t("group_available"), "", found.filter(({ status }) => status === "not_connected")],
  ].filter(([, , offers]) => offers.length);
  const sections = groups.map(([title, kind, offers], index) => {
    const heading = make("h2", { id: `group-${index}`, class: groups.length === 1 && !kind ? "unseen" : "" }, title);
    const look = data.integrations.length < COLUMNS_FROM ? "grid is-list" : "grid";
    const cards = make("ul", { class: look, role: "list" }, offers.map((offer) => make("li", {}, card(offer))));
    return make("section", { class: `group ${kind}`, "aria-labelledby": `group-${index}` }, heading, cards);
  });
  content.replaceChildren(...(sections.length ? sections : [emptyMessage()]));
}

function card(offer) {
  const kinds = kindsOf(offer) ? make("span", { class: "kind" }, kindsOf(offer)) : null;
  const name = make("span", { class: "name" }, offer.title);
  const account = offer.account ? make("span", { class: "kind account" }, offer.account) : null;
  const state = offer.status === "not_connected" ? null : chip(offer.status);
  const words = make("span", { class: "words" }, name, account ?? kinds, state);
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
  const text = make("p", {}, t("no_match", { query: query.value.trim() }));
  const heading = make("h2", {}, t("nothing_found"));
  return make("div", { class: "empty" }, heading, text, button(t("show_all"), clear, "is-second"));
}

// One integration

const page = {
  session,
  isPopup,
  get data() {
    return data;
  },
  wayBack,
  async refresh(name, text, status) {
    try {
      data = await session.load();
    } catch {
      const offer = data.integrations.find((other) => other.name === name);
      offer.status = status;
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
  setTitle(t("connect_title", { title: offer.title }));
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
  single.body.replaceChildren(make("p", { class: "progress", role: "status" }, spinner, `${t("continuing_to", { title: offer.title })}…`));
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
  const name = ENDS[code] ?? ENDS.session_invalid;
  showEnd(t(name), t(`${name}_help`));
}

function showUnreachable(error) {
  showEnd(t("end_offline"), error.message, button(t("try_again"), () => location.reload()));
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
