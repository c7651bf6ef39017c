// The fields of a form: created from the server's description, read, and marked if they are invalid.

import { link, make } from "./dom.js";
import { t } from "./words.js";

const QUIET = {
  autocomplete: "off",
  autocapitalize: "none",
  autocorrect: "off",
  spellcheck: "false",
  "data-1p-ignore": "true",
  "data-lpignore": "true",
};

const VISIBLE = { ...QUIET, type: "text" };

// With "off" browsers may fill in a saved password of this site.
const HIDDEN = { ...QUIET, autocomplete: "new-password", type: "password" };

export class Fields {
  constructor(prefix, described) {
    this.all = described.map((field) => new FieldView(prefix, field));
  }

  get elements() {
    return this.all.map((view) => view.element);
  }

  // {credentials, additional_config}, without empty fields
  values() {
    const values = { credentials: {}, additional_config: {} };
    for (const { field, value } of this.all) if (value !== "") values[field.group][field.name] = value;
    return values;
  }

  // Marks fields that are invalid without asking the server. Returns whether all are valid.
  check() {
    return this.mark(Object.fromEntries(this.all.map((view) => [view.field.name, view.problem])));
  }

  // Shows an error beside each field that has one and focuses the first. Returns whether there was none.
  mark(errors) {
    const wrong = this.all.filter((view) => view.mark(errors[view.field.name] ?? ""));
    wrong[0]?.focus();
    return wrong.length === 0;
  }

  has(name) {
    return this.all.some((view) => view.field.name === name);
  }

  lock(isLocked) {
    for (const view of this.all) view.lock(isLocked);
  }

  // Focuses the refused credential and selects it.
  retry() {
    const view = this.all.find(({ field }) => field.group === "credentials") ?? this.all[0];
    view?.focus();
    view?.control.select?.();
  }
}

class FieldView {
  constructor(prefix, field) {
    this.field = field;
    this.id = `${prefix}-${field.group}-${field.name}`;
    const parts = { id: this.id, name: field.name, "aria-describedby": `${this.id}-help ${this.id}-error` };
    if (field.required && field.kind !== "boolean") parts["aria-required"] = "true";
    this.control = CONTROLS[field.kind]?.(field, parts) ?? CONTROLS.text(field, parts);
    this.error = make("p", { class: "error", id: `${this.id}-error` });
    this.element = this.#layOut();
    this.control.addEventListener("input", () => this.mark(""));
  }

  get value() {
    const { kind } = this.field;
    if (kind === "boolean") return this.control.checked;
    const text = this.control.value.trim();
    if (kind === "number") return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
    if (kind === "choice") return this.field.choices[Number(text) - 1] ?? "";
    return this.#cut(text);
  }

  get problem() {
    const { field, value } = this;
    if (value === "") return field.required ? this.#missing() : "";
    if (field.kind === "number" && typeof value !== "number") return t("invalid_number");
    if (typeof value !== "string" || !field.pattern || field.kind === "choice" || this.#matchesPattern(value)) return "";
    const { example, prefix, noun, title } = field;
    if (!prefix || value.startsWith(prefix)) return t(example ? "invalid_like" : "invalid", { example });
    const name = noun ? `wrong_start_${noun}` : "wrong_start";
    return t(name, { field: title, prefix, example: example || `${prefix}…` });
  }

  mark(problem) {
    this.error.textContent = problem;
    if (problem) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
    return problem !== "";
  }

  focus() {
    this.control.focus();
  }

  lock(isLocked) {
    if ("readOnly" in this.control && this.field.kind !== "boolean") this.control.readOnly = isLocked;
    else this.control.disabled = isLocked;
  }

  #missing() {
    const { kind, group, called } = this.field;
    if (kind === "choice") return t("missing_choice");
    return t(group === "credentials" ? "enter_credential" : "enter_setting", { field: called });
  }

  // Reduces a pasted URL to the name in it, as the server does.
  #cut(text) {
    const { suffix } = this.field;
    if (!suffix) return text;
    return text.replace(/^https?:\/\//, "").split(suffix)[0].replace(/\/+$/, "");
  }

  #matchesPattern(text) {
    try {
      return new RegExp(this.field.pattern, "u").test(text);
    } catch {
      return true; // the server decides
    }
  }

  #layOut() {
    const { field, control } = this;
    const isFree = !field.required && field.kind !== "boolean";
    const optional = isFree ? make("span", { class: "optional" }, t("optional")) : null;
    const manual = field.docs_url ? link(field.docs_url, t("how_to_find")) : null;
    const content = [field.help ? `${field.help} ` : null, manual];
    const help = make("p", { class: "help", id: `${this.id}-help`, hidden: !field.help && !manual }, content);
    if (field.kind === "boolean") {
      const label = make("label", { class: "check", for: this.id }, control, make("span", {}, field.title));
      return make("div", { class: "field" }, label, help, this.error);
    }
    const label = make("label", { for: this.id }, field.title, optional && " ", optional);
    return make("div", { class: "field" }, label, this.#joined(), help, this.error);
  }

  #joined() {
    const { field, control } = this;
    const beside = [];
    if (field.suffix) beside.push(make("span", { class: "suffix" }, field.suffix));
    if (field.kind === "password") beside.push(this.#reveal());
    return beside.length ? make("div", { class: "joined" }, control, beside) : control;
  }

  #reveal() {
    const { control, field } = this;
    const name = make("span", { class: "unseen" }, ` ${field.title}`);
    const button = make("button", { type: "button", "aria-pressed": "false", "aria-controls": this.id }, t("show"), name);
    button.addEventListener("click", () => {
      const isShown = control.type === "password";
      control.type = isShown ? "text" : "password";
      button.setAttribute("aria-pressed", String(isShown));
      button.firstChild.data = t(isShown ? "hide" : "show");
    });
    return button;
  }
}

const hint = ({ example }) => example && t("example", { example });
const initial = (field) => ({ placeholder: hint(field), value: String(field.value ?? "") });

const CONTROLS = {
  text: (field, parts) => make("input", { ...parts, ...VISIBLE, ...initial(field) }),
  number: (field, parts) =>
    make("input", { ...parts, ...VISIBLE, inputmode: field.whole ? "numeric" : "decimal", ...initial(field) }),
  password: (field, parts) => make("input", { ...parts, ...HIDDEN, placeholder: hint(field) }),
  multiline: (field, parts) => make("textarea", { ...parts, ...QUIET, rows: "6", placeholder: hint(field) }),
  boolean: (field, parts) => {
    const box = make("input", { ...parts, type: "checkbox" });
    box.checked = field.value === true;
    return box;
  },
  choice: (field, parts) => {
    const none = make("option", { value: "" }, t(field.required ? "choose" : "none"));
    const options = field.choices.map((choice, at) => make("option", { value: String(at + 1) }, String(choice)));
    const select = make("select", parts, none, options);
    const at = field.choices.indexOf(field.value);
    select.value = at < 0 ? "" : String(at + 1);
    return select;
  },
};
