// One integration: what it needs, how far it is, and what can be done with it.

import { chip, day, icon, kindsOf, link, make, mark, sentence } from "./dom.js";
import { Fields } from "./fields.js";
import { Login } from "./login.js";

const LOGIN_WORDS = {
  access_denied: ["Access was not allowed", "Nothing was connected. You can try again whenever you like."],
  state_invalid: ["This login is no longer valid", "Please begin it again."],
  unavailable: ["It cannot be reached at the moment", ""],
};

export class Detail {
  // page: {session, data, heading, changed(name), leave(), ended(error), tell(outcome), isPopup}
  constructor(page, offer) {
    this.page = page;
    this.name = offer.name;
    this.element = make("section", { class: "detail" });
    this.isBusy = false;
    this.show(offer.status === "connected" ? "overview" : "form");
  }

  get offer() {
    return this.page.data.integrations.find((offer) => offer.name === this.name);
  }

  get product() {
    return this.page.data.product_name || "this app";
  }

  get isDirty() {
    return this.isBusy || (this.fields?.all.some((view) => view.field.group === "credentials" && view.value) ?? false);
  }

  close() {
    this.login?.end();
  }

  show(view, ...details) {
    this.login?.end();
    this.login = null;
    this.fields = null;
    this.isBusy = false;
    const body = make("div", { class: "body" });
    this.body = body;
    this.element.replaceChildren(this.#head(view === "done"), body);
    this[`_${view}`](body, ...details);
  }

  focus() {
    const wanted = this.element.querySelector("form input:not([type=checkbox]), form select, form textarea");
    (this.offer.status === "not_connected" && wanted ? wanted : this.heading).focus();
  }

  #head(isDone) {
    const { offer, page } = this;
    this.heading = make(page.heading, { id: "detail-title", tabindex: "-1" }, offer.title);
    const kinds = kindsOf(offer) ? make("p", { class: "quiet" }, kindsOf(offer)) : null;
    const state = offer.status === "not_connected" || isDone ? kinds : chip(offer.status);
    const close = page.leave
      ? make("button", { type: "button", class: "round", "aria-label": "Close", onclick: () => page.leave() }, icon("close"))
      : null;
    return make("header", {}, mark(offer, "is-large"), make("div", { class: "words" }, this.heading, state), close);
  }

  // Views: each fills the body.

  _overview(body) {
    const { offer } = this;
    body.append(make("p", {}, `Connected since ${day(offer.connected_at)}.`));
    const held = offer.fields.filter(({ group, value }) => group === "additional_config" && value !== null && value !== "");
    const facts = held.flatMap(({ title, value }) => [make("dt", {}, title), make("dd", {}, value === true ? "Yes" : value === false ? "No" : String(value))]);
    if (facts.length) body.append(make("dl", { class: "facts" }, facts));
    const again = make("button", { type: "button", class: "button is-second", onclick: () => this.#go("form") }, "Connect again");
    body.append(make("div", { class: "buttons" }, again, this.#disconnectButton()), this.#links());
  }

  _form(body) {
    const { offer } = this;
    if (offer.status === "needs_reauth") {
      const why = `Connect ${offer.title} again, and everything goes on as before.`;
      body.append(make("div", { class: "box is-warn" }, make("strong", {}, "The stored login no longer works"), make("p", {}, why)));
    }
    if (offer.help) body.append(make("p", { class: "quiet" }, offer.help));
    this.alert = make("div", { class: "alert" });
    this.fields = new Fields("field", offer.fields);
    this.button = make("button", { type: "submit", class: "button" }, this.#buttonText());
    this.progress = make("p", { class: "progress", role: "status" });
    const back = offer.status === "connected" ? make("button", { type: "button", class: "button is-second", onclick: () => this.#go("overview") }, "Back") : null;
    const form = make("form", { novalidate: true, autocomplete: "off" }, this.alert, this.fields.elements, this.#explanation(), make("div", { class: "buttons" }, back, this.button), this.progress);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submitted();
    });
    body.append(form);
    if (offer.status === "needs_reauth") body.append(this.#disconnectButton());
    body.append(this.#links());
  }

  _confirm(body) {
    const { offer } = this;
    const keep = make("button", { type: "button", class: "button is-second", onclick: () => this.#go(offer.status === "connected" ? "overview" : "form") }, "Keep it");
    this.button = make("button", { type: "button", class: "button is-danger", onclick: () => this.#disconnect() }, "Disconnect");
    this.alert = make("div", { class: "alert" });
    this.progress = make("p", { class: "progress", role: "status" });
    body.append(
      make("p", {}, `Disconnect ${offer.title}? What is stored here is deleted, and ${this.product} can no longer use it.`),
      this.alert,
      make("div", { class: "buttons" }, keep, this.button),
      this.progress,
    );
  }

  _done(body, { missing = [], isVerified = false } = {}) {
    const { offer, page } = this;
    body.classList.add("done");
    const said = isVerified ? "It was tested, and it works." : `${this.product[0].toUpperCase()}${this.product.slice(1)} can work with it now.`;
    body.append(make("span", { class: "badge" }, icon("check")), make("p", { role: "status" }, make("strong", {}, `${offer.title} is connected.`), ` ${said}`));
    if (missing.length) {
      const scopes = make("ul", { class: "scopes" }, missing.map((scope) => make("li", {}, scope)));
      const again = make("button", { type: "button", class: "button is-second", onclick: () => this.#go("form") }, "Connect again");
      body.append(make("div", { class: "box is-warn" }, make("strong", {}, "Not everything was allowed"), make("p", {}, "Some things may not work without:"), scopes, make("div", { class: "buttons" }, again)));
    }
    if (page.isPopup) {
      body.append(make("p", { class: "quiet" }, "You can close this window."));
      return;
    }
    const next = page.leave ? () => page.leave() : () => this.#go("overview");
    body.append(make("button", { type: "button", class: "button", onclick: next }, page.leave ? "Done" : "Show connection"));
  }

  _waiting(body) {
    const { offer } = this;
    this.alert = make("div", { class: "alert" });
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    this.progress = make("p", { class: "progress", role: "status" }, spinner, `Log in to ${offer.title} in the window that opened.`);
    const front = make("button", { type: "button", class: "button is-second", onclick: () => this.login.front() }, "Show the window");
    const stop = make("button", { type: "button", class: "button is-second", onclick: () => this.#go("form") }, "Cancel");
    body.append(this.progress, this.alert, make("div", { class: "buttons" }, front, stop));
  }

  _blocked(body) {
    const { offer } = this;
    const open = make("button", { type: "button", class: "button", onclick: () => this.#again() }, `Open the login of ${offer.title}`);
    const why = make("div", { class: "box is-warn", role: "alert" }, make("strong", {}, "Your browser blocked the login window"), make("p", {}, "Open it with the button below, or allow windows for this page and try again."));
    const back = make("button", { type: "button", class: "button is-second", onclick: () => this.#go("form") }, "Back");
    body.append(why, make("div", { class: "buttons" }, open, back));
  }

  // Parts of views.

  #buttonText() {
    const { kind, title } = this.offer;
    return kind === "oauth" ? `Continue to ${title}` : "Connect";
  }

  #explanation() {
    const { offer } = this;
    if (offer.kind === "none") return offer.fields.length ? null : make("p", { class: "quiet" }, `${offer.title} asks for no login.`);
    if (offer.kind === "form") return null;
    const where = this.page.isPopup ? "You log in there and come back here." : "You log in there, in a window of its own.";
    const text = make("p", { class: "quiet" }, `${where} Your password stays with ${offer.title}.`);
    if (!offer.scopes.length) return text;
    const scopes = make("ul", { class: "scopes" }, offer.scopes.map((scope) => make("li", {}, scope)));
    return make("div", {}, text, make("details", {}, make("summary", {}, `What is asked for (${offer.scopes.length})`), scopes));
  }

  #links() {
    const manual = this.offer.docs_url ? link(this.offer.docs_url, `${this.offer.title} documentation`) : null;
    return manual ? make("p", { class: "links" }, manual) : "";
  }

  #disconnectButton() {
    return make("button", { type: "button", class: "button is-danger", onclick: () => this.#go("confirm") }, "Disconnect");
  }

  #go(view, ...details) {
    this.show(view, ...details);
    if (view === "form") this.focus();
    else this.heading.focus();
  }

  // What is under way, in words; "" when nothing is.
  #busy(text) {
    this.isBusy = text !== "";
    this.fields?.lock(this.isBusy);
    this.button.setAttribute("aria-disabled", String(this.isBusy));
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    this.progress.replaceChildren(...(text ? [spinner, text] : []));
  }

  #fail(title, text, ...more) {
    const box = make("div", { class: "box is-bad", role: "alert" }, make("strong", {}, title), text ? make("p", {}, text) : null, ...more);
    this.alert.replaceChildren(box);
    box.scrollIntoView({ block: "nearest" });
  }

  // What happens.

  async #submitted() {
    if (this.isBusy || !this.fields.check()) return;
    this.alert.replaceChildren();
    const values = this.fields.values();
    if (this.offer.kind === "oauth") this.#begin(values.additional_config);
    else await this.#save(values);
  }

  async #save(values) {
    const { offer, page } = this;
    const key = offer.fields.filter(({ group }) => group === "credentials");
    const what = key.length === 1 ? "the key" : "your entries";
    this.#busy(key.length ? `Checking ${what} with ${offer.title}…` : "Connecting…");
    try {
      const said = await page.session.submit(offer.name, values);
      await page.changed(offer.name, `${offer.title} is connected.`);
      this.#go("done", { isVerified: said.verified });
      page.tell({ integration: offer.name });
    } catch (error) {
      this.#busy("");
      this.#refused(error);
    }
  }

  #refused(error) {
    const { page } = this;
    const { title } = this.offer;
    if (error.endsSession) return page.ended(error);
    const said = sentence(error.message);
    const faults = error.fields ?? {};
    const hasMarks = Object.keys(faults).some((name) => this.fields.knows(name));
    if (error.code === "invalid_credentials" && hasMarks) return this.fields.mark(faults);
    if (error.code === "refused") this.#fail("Not accepted", `${said} Nothing was saved.`);
    else if (error.code === "missing_scope") this.#fail("A permission is missing", `${said} Nothing was saved.`);
    else if (error.code === "unavailable") this.#fail(`${title} cannot be reached at the moment`, `${said} Nothing was saved; what you typed is still here.`);
    else this.#fail("That did not work", said);
    if (error.code === "unavailable" || error.code === "offline") this.button.focus();
    else this.fields.retry();
  }

  #begin(config) {
    const { page, offer } = this;
    if (page.isPopup) return page.session.post(offer.name, { target: "_self", attempt: page.session.attempt, origin: page.session.origin, config });
    const login = new Login(page.session, offer.name, config, {
      finished: (outcome) => this.#finished(outcome),
      failed: (error) => page.ended(error),
      closed: () => this.#closed(),
    });
    const isOpen = login.begin();
    this.show(isOpen ? "waiting" : "blocked");
    this.login = login;
    this.heading.focus();
  }

  #again() {
    const { login } = this;
    this.login = null;
    this.show("waiting");
    this.login = login;
    login.again();
    this.heading.focus();
  }

  #closed() {
    if (this.alert.childElementCount) return;
    const { config } = this.login;
    const retry = make("button", { type: "button", class: "button", onclick: () => { this.login.end(); this.#begin(config); } }, "Open it again");
    const box = make("div", { class: "box is-warn", role: "alert" }, make("strong", {}, "The window was closed"), make("p", {}, "Nothing was connected yet. If the login is still open somewhere, finish it there."), make("div", { class: "buttons" }, retry));
    this.alert.replaceChildren(box);
    this.progress.replaceChildren();
    this.body.lastElementChild.firstElementChild.hidden = true;
  }

  async #finished(outcome) {
    const { page, offer } = this;
    this.login = null;
    if (outcome.ok) {
      await page.changed(offer.name, `${offer.title} is connected.`);
      this.#go("done", { missing: outcome.missing_scopes ?? [] });
      page.tell({ integration: offer.name, missing_scopes: outcome.missing_scopes ?? [] });
      return;
    }
    this.show("form");
    const [title, text] = LOGIN_WORDS[outcome.code] ?? [`${offer.title} was not connected`, ""];
    this.#fail(title, text || sentence(outcome.message));
    this.button.focus();
  }

  async #disconnect() {
    const { page, offer } = this;
    if (this.isBusy) return;
    this.#busy("Disconnecting…");
    try {
      await page.session.disconnect(offer.name);
      await page.changed(offer.name, `${offer.title} is disconnected.`);
      if (page.leave) page.leave();
      else this.#go("form");
    } catch (error) {
      this.#busy("");
      if (error.endsSession) return page.ended(error);
      this.#fail("That did not work", sentence(error.message));
    }
  }
}
