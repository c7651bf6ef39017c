// One integration: its form, its connection, and what the user can do with them.

import { box, button, buttons, chip, day, icon, kindsOf, link, make, mark, sentence } from "./dom.js";
import { Fields } from "./fields.js";
import { Login } from "./login.js";

const LOGIN_MESSAGES = {
  access_denied: ["Access was denied", "Nothing was connected. You can try again at any time."],
  state_invalid: ["This login is no longer valid", "Please start again."],
  unavailable: ["The service cannot be reached at the moment", ""],
};

const scopesOf = (names) => make("ul", { class: "scopes" }, names.map((name) => make("li", {}, name)));
const toText = (value) => (typeof value === "boolean" ? (value ? "Yes" : "No") : String(value));

export class Detail {
  // page: {session, data, heading, refresh(name), leave(), ended(error), reportResult(outcome), isPopup}
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
    const words = make("div", { class: "words" }, this.heading, state);
    return make("header", {}, mark(offer, "is-large"), words, page.leave ? this.#closeButton() : null);
  }

  // Views: each fills the body.

  _overview(body) {
    const { offer } = this;
    body.append(make("p", {}, `Connected since ${day(offer.connected_at)}.`));
    const held = offer.fields.filter(({ group, value }) => group === "additional_config" && (value ?? "") !== "");
    const facts = held.flatMap(({ title, value }) => [make("dt", {}, title), make("dd", {}, toText(value))]);
    if (facts.length) body.append(make("dl", { class: "facts" }, facts));
    body.append(buttons(this.#connectAgain(), this.#disconnectButton()), this.#links());
  }

  _form(body) {
    const { offer } = this;
    if (offer.status === "needs_reauth") {
      const why = `Connect ${offer.title} again to keep using it.`;
      body.append(box("is-warn", "This connection no longer works", why));
    }
    if (offer.help) body.append(make("p", { class: "quiet" }, offer.help));
    this.alert = make("div", { class: "alert" });
    this.fields = new Fields("field", offer.fields);
    this.button = make("button", { type: "submit", class: "button" }, this.#buttonText());
    this.progress = make("p", { class: "progress", role: "status" });
    const back = offer.status === "connected" ? button("Back", () => this.#go("overview"), "is-second") : null;
    const parts = [this.alert, this.fields.elements, this.#explanation(), buttons(back, this.button), this.progress];
    const form = make("form", { novalidate: true, autocomplete: "off" }, parts.flat());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    body.append(form);
    if (offer.status === "needs_reauth") body.append(this.#disconnectButton());
    body.append(this.#links());
  }

  _confirm(body) {
    const { offer } = this;
    const before = offer.status === "connected" ? "overview" : "form";
    const keep = button("Keep it", () => this.#go(before), "is-second");
    this.button = button("Disconnect", () => this.#disconnect(), "is-danger");
    this.alert = make("div", { class: "alert" });
    this.progress = make("p", { class: "progress", role: "status" });
    const what = `The stored credentials will be deleted, and ${this.product} will no longer have access.`;
    const question = make("p", {}, `Disconnect ${offer.title}? ${what}`);
    body.append(question, this.alert, buttons(keep, this.button), this.progress);
  }

  _done(body, { missing = [], isVerified = false } = {}) {
    const { offer, page } = this;
    body.classList.add("done");
    const works = isVerified ? "We checked it, and it works." : sentence(`${this.product} can use it now`);
    const status = make("p", { role: "status" }, make("strong", {}, `${offer.title} is connected.`), ` ${works}`);
    body.append(make("span", { class: "badge" }, icon("check")), status);
    if (missing.length) {
      const more = [scopesOf(missing), buttons(this.#connectAgain())];
      body.append(box("is-warn", "Some permissions were not granted", "Some features may not work without:", more));
    }
    if (page.isPopup) {
      body.append(make("p", { class: "quiet" }, "You can close this window."));
      return;
    }
    const next = page.leave ? () => page.leave() : () => this.#go("overview");
    body.append(button(page.leave ? "Done" : "Show connection", next));
  }

  _waiting(body) {
    const { offer } = this;
    this.alert = make("div", { class: "alert" });
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    const where = `Log in to ${offer.title} in the window that opened.`;
    this.progress = make("p", { class: "progress", role: "status" }, spinner, where);
    this.front = button("Show the window", () => this.login.front(), "is-second");
    const stop = button("Cancel", () => this.#go("form"), "is-second");
    body.append(this.progress, this.alert, buttons(this.front, stop));
  }

  _blocked(body) {
    const { offer } = this;
    const open = button(`Open the ${offer.title} login`, () => this.#again());
    const back = button("Back", () => this.#go("form"), "is-second");
    const what = "Open it with the button below, or allow pop-ups for this page and try again.";
    body.append(box("is-warn", "Your browser blocked the login window", what, [], true), buttons(open, back));
  }

  // Parts of views.

  #buttonText() {
    const { kind, title } = this.offer;
    return kind === "oauth" ? `Continue to ${title}` : "Connect";
  }

  #explanation() {
    const { offer } = this;
    const quiet = (text) => make("p", { class: "quiet" }, text);
    if (offer.kind === "none") return offer.fields.length ? null : quiet(`${offer.title} needs no login.`);
    if (offer.kind === "form") return null;
    const where = this.page.isPopup ? "and then return here" : "in a new window";
    const text = quiet(`You will log in to ${offer.title} ${where}. Your password stays with ${offer.title}.`);
    if (!offer.scopes.length) return text;
    const summary = make("summary", {}, `Permissions requested (${offer.scopes.length})`);
    return make("div", {}, text, make("details", {}, summary, scopesOf(offer.scopes)));
  }

  #links() {
    const manual = this.offer.docs_url ? link(this.offer.docs_url, `${this.offer.title} documentation`) : null;
    return manual ? make("p", { class: "links" }, manual) : "";
  }

  #closeButton() {
    const parts = { type: "button", class: "round", "aria-label": "Close", onclick: () => this.page.leave() };
    return make("button", parts, icon("close"));
  }

  #connectAgain() {
    return button("Connect again", () => this.#go("form"), "is-second");
  }

  #disconnectButton() {
    return button("Disconnect", () => this.#go("confirm"), "is-danger");
  }

  #go(view, ...details) {
    this.show(view, ...details);
    if (view === "form") this.focus();
    else this.heading.focus();
  }

  // Shows what is in progress; "" for nothing.
  #busy(text) {
    this.isBusy = text !== "";
    this.fields?.lock(this.isBusy);
    this.button.setAttribute("aria-disabled", String(this.isBusy));
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    this.progress.replaceChildren(...(text ? [spinner, text] : []));
  }

  #fail(title, text) {
    this.alert.replaceChildren(box("is-bad", title, text, [], true));
    this.alert.scrollIntoView({ block: "nearest" });
  }

  // Actions.

  async #submit() {
    if (this.isBusy || !this.fields.check()) return;
    this.alert.replaceChildren();
    const values = this.fields.values();
    if (this.offer.kind === "oauth") this.#begin(values.additional_config);
    else await this.#save(values);
  }

  async #save(values) {
    const { offer, page } = this;
    const key = offer.fields.filter(({ group }) => group === "credentials");
    const what = key.length === 1 ? "the key" : "your details";
    this.#busy(key.length ? `Checking ${what} with ${offer.title}…` : "Connecting…");
    try {
      const result = await page.session.submit(offer.name, values);
      await page.refresh(offer.name, `${offer.title} is connected.`);
      this.#go("done", { isVerified: result.verified });
      page.reportResult({ integration: offer.name });
    } catch (error) {
      this.#busy("");
      this.#showRefusal(error);
    }
  }

  #showRefusal(error) {
    const { page } = this;
    const { title } = this.offer;
    if (error.endsSession) return page.ended(error);
    const message = sentence(error.message);
    const errors = error.fields ?? {};
    const hasMarkedFields = Object.keys(errors).some((name) => this.fields.has(name));
    if (error.code === "invalid_credentials" && hasMarkedFields) return this.fields.mark(errors);
    const headings = {
      refused: "Not accepted",
      missing_scope: "A permission is missing",
      wrong_settings: "Please check these settings",
      unavailable: `${title} cannot be reached at the moment`,
    };
    const heading = headings[error.code];
    this.#fail(heading ?? "That did not work", heading ? `${message} Nothing was saved.` : message);
    if (error.code === "unavailable" || error.code === "offline") this.button.focus();
    else this.fields.retry();
  }

  #begin(config) {
    const { page, offer } = this;
    if (page.isPopup) return page.session.post(offer.name, { ...page.session.request, target: "_self", config });
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
    const retry = button("Open it again", () => {
      this.login.end();
      this.#begin(config);
    });
    const what = "Nothing has been connected yet. If the login is still open elsewhere, finish it there.";
    this.alert.replaceChildren(box("is-warn", "The window was closed", what, [buttons(retry)], true));
    this.progress.replaceChildren();
    this.front.hidden = true;
  }

  async #finished(outcome) {
    const { page, offer } = this;
    this.login = null;
    if (outcome.ok) {
      await page.refresh(offer.name, `${offer.title} is connected.`);
      this.#go("done", { missing: outcome.missing_scopes ?? [] });
      page.reportResult({ integration: offer.name, missing_scopes: outcome.missing_scopes ?? [] });
      return;
    }
    this.show("form");
    const [title, text] = LOGIN_MESSAGES[outcome.code] ?? [`${offer.title} was not connected`, ""];
    this.#fail(title, text || sentence(outcome.message));
    this.button.focus();
  }

  async #disconnect() {
    const { page, offer } = this;
    if (this.isBusy) return;
    this.#busy("Disconnecting…");
    try {
      await page.session.disconnect(offer.name);
      await page.refresh(offer.name, `${offer.title} is disconnected.`);
      if (page.leave) page.leave();
      else this.#go("form");
    } catch (error) {
      this.#busy("");
      if (error.endsSession) return page.ended(error);
      this.#fail("That did not work", sentence(error.message));
    }
  }
}
