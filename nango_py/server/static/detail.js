// One integration: its form, its connection, and what the user can do with them.

import { box, button, buttons, chip, day, icon, kindsOf, link, make, mark, sentence } from "./dom.js";
import { Fields } from "./fields.js";
import { Login } from "./login.js";
import { describe, t } from "./words.js";

const HEADINGS = {
  access_denied: "failed_denied",
  missing_scope: "failed_scope",
  refused: "failed_refused",
  state_invalid: "failed_state",
  unavailable: "failed_unavailable",
  wrong_settings: "failed_settings",
};

// A scope by its sentence; its name is for developers.
const scopesOf = (offer, names) => {
  const text = (name) => offer.scopes.find((scope) => scope.name === name)?.text;
  const item = (name) => (text(name) ? make("li", { class: "is-sentence" }, text(name)) : make("li", {}, name));
  return make("ul", { class: "scopes" }, names.map(item));
};
const toText = (value) => (typeof value === "boolean" ? t(value ? "yes" : "no") : String(value));

export class Detail {
  // page: {session, data, heading, refresh(name, text, status), wayBack(), leave(), ended(error), reportResult(outcome), isPopup}
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
    return this.page.data.product_name || t("this_app");
  }

  // What the form asks for: one key, several details, or "" for nothing.
  get #credential() {
    const { length } = this.offer.fields.filter(({ group }) => group === "credentials");
    return length === 0 ? "" : length === 1 ? "key" : "details";
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
    if (offer.account) body.append(make("p", { class: "account" }, t("connected_as", { account: offer.account })));
    body.append(make("p", {}, t("connected_since", { date: day(offer.connected_at) })));
    const held = offer.fields.filter(({ group, value }) => group === "additional_config" && (value ?? "") !== "");
    const facts = held.flatMap(({ title, value }) => [make("dt", {}, title), make("dd", {}, toText(value))]);
    if (facts.length) body.append(make("dl", { class: "facts" }, facts));
    body.append(buttons(this.#connectAgain(), this.#disconnectButton()), this.#links());
  }

  _form(body) {
    const { offer } = this;
    if (offer.status === "needs_reauth") {
      body.append(box("is-warn", t("works_no_more"), t("connect_again_why", { title: offer.title })));
    }
    if (offer.help) body.append(make("p", { class: "quiet" }, offer.help));
    this.alert = make("div", { class: "alert" });
    this.fields = new Fields("field", offer.fields);
    this.button = make("button", { type: "submit", class: "button" }, this.#buttonText());
    this.progress = make("p", { class: "progress", role: "status" });
    const back = offer.status === "connected" ? button(t("back"), () => this.#go("overview"), "is-second") : null;
    // The error stands below the fields, so that they stay where they are.
    const parts = [this.fields.elements, this.#explanation(), this.alert, buttons(back, this.button), this.progress];
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
    const keep = button(t("keep"), () => this.#go(before), "is-second");
    this.button = button(t("disconnect"), () => this.#disconnect(), "is-danger");
    this.alert = make("div", { class: "alert" });
    this.progress = make("p", { class: "progress", role: "status" });
    const question = make("p", {}, t("disconnect_question", { title: offer.title, product: this.product }));
    body.append(question, this.alert, buttons(keep, this.button), this.progress);
  }

  _done(body, { missing = [], isVerified = false } = {}) {
    const { offer, page } = this;
    body.classList.add("done");
    const works = isVerified ? t(`checked_${this.#credential}`) : sentence(t("usable_now", { product: this.product }));
    const name = make("strong", {}, t("integration_connected", { title: offer.title }));
    const status = make("p", { role: "status" }, name, ` ${works}`);
    body.append(make("span", { class: "badge" }, icon("check")), status);
    if (offer.account) body.append(make("p", { class: "account" }, t("connected_as", { account: offer.account })));
    if (missing.length) {
      const more = [scopesOf(offer, missing), buttons(this.#connectAgain())];
      body.append(box("is-warn", t("missing_scopes"), t("missing_scopes_help"), more));
    }
    if (page.isPopup) {
      body.append(make("p", { class: "quiet" }, t("close_window")));
      return;
    }
    const next = page.leave ? () => page.leave() : () => this.#go("overview");
    const back = page.wayBack();
    back?.classList.add("button");
    body.append(buttons(back, button(t(page.leave ? "done" : "show_connection"), next, back ? "is-second" : "")));
    if (!page.leave && !back) body.append(make("p", { class: "quiet" }, t("close_page")));
  }

  _waiting(body) {
    const { offer } = this;
    this.alert = make("div", { class: "alert" });
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    const where = t("sign_in_waiting", { title: offer.title });
    this.progress = make("p", { class: "progress", role: "status" }, spinner, where);
    this.front = button(t("show_window"), () => this.login.front(), "is-second");
    const stop = button(t("cancel"), () => this.#go("form"), "is-second");
    body.append(this.progress, this.alert, buttons(this.front, stop));
  }

  _blocked(body) {
    const { offer } = this;
    const open = button(t("open_login", { title: offer.title }), () => this.#again());
    const back = button(t("back"), () => this.#go("form"), "is-second");
    body.append(box("is-warn", t("blocked"), t("blocked_help"), [], true), buttons(open, back));
  }

  // Parts of views.

  #buttonText() {
    const { kind, title } = this.offer;
    return kind === "oauth" ? t("continue_to", { title }) : t("connect");
  }

  #explanation() {
    const { offer } = this;
    const quiet = (text) => make("p", { class: "quiet" }, text);
    if (offer.kind === "none") return offer.fields.length ? null : quiet(t("needs_no_login", { title: offer.title }));
    if (offer.kind === "form") return null;
    const text = quiet(t(this.page.isPopup ? "sign_in_here" : "sign_in_window", { title: offer.title }));
    if (!offer.scopes.length) return text;
    const names = offer.scopes.map(({ name }) => name);
    const details = make("details", {}, make("summary", {}, t("permissions")), scopesOf(offer, names));
    return make("div", {}, text, details);
  }

  #links() {
    const manual = this.offer.docs_url ? link(this.offer.docs_url, t("documentation", { title: this.offer.title })) : null;
    return manual ? make("p", { class: "links" }, manual) : "";
  }

  #closeButton() {
    const parts = { type: "button", class: "round", "aria-label": t("close"), onclick: () => this.page.leave() };
    return make("button", parts, icon("close"));
  }

  #connectAgain() {
    return button(t("connect_again"), () => this.#go("form"), "is-second");
  }

  #disconnectButton() {
    return button(t("disconnect"), () => this.#go("confirm"), "is-danger");
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
    this.#busy(this.#credential ? t(`checking_${this.#credential}`, { title: offer.title }) : t("connecting"));
    try {
      const result = await page.session.submit(offer.name, values);
      await page.refresh(offer.name, t("integration_connected", { title: offer.title }), "connected");
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
    const errors = error.fields ?? {};
    const hasMarkedFields = Object.keys(errors).some((name) => this.fields.has(name));
    if (error.code === "invalid_credentials" && hasMarkedFields) return this.fields.mark(errors);
    if (error.code === "unavailable" && this.#credential) this.#fail("", t(`unreachable_${this.#credential}`, { title }));
    else if (HEADINGS[error.code]) {
      this.#fail(t(HEADINGS[error.code], { title }), `${sentence(describe(error, title))} ${t("nothing_saved")}`);
    } else this.#fail(t("failed_other"), sentence(error.code === "offline" ? error.message : describe(error, title)));
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
    const retry = button(t("open_again"), () => {
      this.login.end();
      this.#begin(config);
    });
    this.alert.replaceChildren(box("is-warn", t("closed"), t("closed_help"), [buttons(retry)], true));
    this.progress.replaceChildren();
    this.front.hidden = true;
  }

  async #finished(outcome) {
    const { page, offer } = this;
    this.login = null;
    if (outcome.ok) {
      await page.refresh(offer.name, t("integration_connected", { title: offer.title }), "connected");
      this.#go("done", { missing: outcome.missing_scopes ?? [] });
      page.reportResult({ integration: offer.name, missing_scopes: outcome.missing_scopes ?? [] });
      return;
    }
    this.show("form");
    const { title } = offer;
    this.#fail(t(HEADINGS[outcome.code] ?? "failed", { title }), sentence(describe(outcome, title)));
    this.button.focus();
  }

  async #disconnect() {
    const { page, offer } = this;
    if (this.isBusy) return;
    this.#busy(t("disconnecting"));
    try {
      await page.session.disconnect(offer.name);
      const text = t("integration_disconnected", { title: offer.title });
      await page.refresh(offer.name, text, "not_connected");
      if (page.leave) page.leave();
      else this.#go("form");
    } catch (error) {
      this.#busy("");
      if (error.endsSession) return page.ended(error);
      this.#fail(t("failed_other"), sentence(error.code === "offline" ? error.message : describe(error, offer.title)));
    }
  }
}
