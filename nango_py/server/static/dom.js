// Creates elements from data. Text becomes text nodes and properties, never markup.

import { language, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const DRAWINGS = {
  check: ["m4.5 10.5 3.6 3.6 7.4-8"],
  close: ["m5 5 10 10", "M15 5 5 15"],
  out: ["M8 4.5H5.5a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h9a1 1 0 0 0 1-1V12", "M11.5 4.5h4v4", "m15.2 4.8-6 6"],
};

// make("p", {class: "lead", onclick: f, "aria-label": "x"}, "text", element, null)
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// A button that submits nothing; `look` is is-second or is-danger.
export function button(text, onclick, look = "") {
  return make("button", { type: "button", class: `button ${look}`.trim(), onclick }, text);
}

export function buttons(...all) {
  return make("div", { class: "buttons" }, all);
}

// A message box: `look` is is-bad or is-warn. With isAlert screen readers announce it at once.
export function box(look, title, text, more = [], isAlert = false) {
  const parts = { class: `box ${look}`, role: isAlert ? "alert" : null };
  return make("div", parts, title ? make("strong", {}, title) : null, text ? make("p", {}, text) : null, more);
}

export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 20 20");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  for (const line of DRAWINGS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", line);
    drawing.append(path);
  }
  return drawing;
}

// A link to another site. Only http(s) URLs become links, so that a blueprint cannot add scripts.
export function link(address, text) {
  if (!/^https?:\/\//i.test(address)) return null;
  const properties = { href: address, target: "_blank", rel: "noopener noreferrer" };
  return make("a", properties, text, icon("out"), make("span", { class: "unseen" }, t("new_tab")));
}

// The logo of an integration, or its initials on a colour that its name decides.
export function mark(offer, size = "") {
  if (offer.logo) {
    const image = make("img", { src: offer.logo, alt: "" });
    return make("span", { class: `mark has-logo ${size}`, "aria-hidden": "true" }, image);
  }
  const every = offer.title.replace(/\(.*\)/, "").match(/[\p{L}\p{N}]+/gu) ?? ["?"];
  const words = [every[0], ...every.slice(1).filter((word) => /^[\p{Lu}\p{N}]/u.test(word))];
  const initials = words.length > 1 ? words[0][0] + words[1][0] : [...words[0]].slice(0, 2).join("");
  let hash = 2166136261;
  for (const char of offer.name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0;
  const element = make("span", { class: `mark ${size}`, "aria-hidden": "true" });
  element.textContent = initials[0].toUpperCase() + initials.slice(1);
  element.style.setProperty("--hue", String((hash % 24) * 15));
  return element;
}

const STATES = { connected: "connected", needs_reauth: "group_due", not_connected: "not_connected" };

export const stateOf = (status) => (STATES[status] ? t(STATES[status]) : status);

export function chip(status) {
  return make("span", { class: `chip is-${status}` }, stateOf(status));
}

// "Marketing, email"; short ones are abbreviations, as in CRM.
export function kindsOf(offer) {
  const kinds = offer.categories.map((kind) => (kind.length < 4 ? kind.toUpperCase() : kind)).join(", ");
  return kinds && kinds[0].toUpperCase() + kinds.slice(1);
}

export function sentence(text) {
  const trimmed = String(text ?? "").trim();
  if (!trimmed) return "";
  const capitalized = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?)"”]$/.test(capitalized) ? capitalized : `${capitalized}.`;
}

export function day(iso) {
  const moment = new Date(iso);
  if (Number.isNaN(moment.getTime())) return "";
  return moment.toLocaleDateString(language(), { day: "numeric", month: "long", year: "numeric" });
}
