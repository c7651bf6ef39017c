// The connect session: its token, and the requests made with it.

import { t } from "./words.js";

const STORAGE_KEY = "nango-connect";
const NAMES = ["session", "integration", "attempt", "origin"];

// An error of the server: a code, a sentence to show, and a sentence for each invalid field.
export class Refused extends Error {
  constructor(code, message, fields = {}) {
    super(message);
    this.code = code;
    this.fields = fields;
  }

  get endsSession() {
    return this.code === "session_expired" || this.code === "session_invalid";
  }
}

// The token is in the fragment, which browsers never send. It is removed from the address bar at once; a copy
// stays in this tab's storage, so that the page can be reloaded.
export function openSession() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  if (parameters.has("session")) {
    const parts = Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
    store(parts);
    history.replaceState(null, "", location.pathname + location.search);
    return new Session(parts);
  }
  return new Session(store() ?? {});
}

function store(parts) {
  try {
    if (parts) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(parts));
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null");
  } catch {
    return null; // no storage: after a reload the user needs a new link
  }
}

export class Session {
  #token;

  constructor({ session = "", integration = "", attempt = "", origin = "" }) {
    this.#token = session;
    this.integration = integration;
    this.attempt = attempt;
    this.origin = origin;
  }

  // The request of the page that opened this one in a window.
  get request() {
    return { attempt: this.attempt, origin: this.origin };
  }

  get hasToken() {
    return this.#token !== "";
  }

  async ask(path, { method = "GET", body } = {}) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    let result = null;
    try {
      const text = body === undefined ? undefined : JSON.stringify(body);
      response = await fetch(path, { method, headers, body: text, cache: "no-store", credentials: "omit" });
      result = await response.json();
    } catch {
      if (!response) throw new Refused("offline", t("offline"));
    }
    if (response.ok && result) return result;
    const error = result?.error ?? {};
    throw new Refused(error.code ?? "broken", error.message ?? t("again_later"), error.fields);
  }

  load() {
    return this.ask("connect/session");
  }

  submit(name, values) {
    const body = { ...values, attempt: this.attempt };
    return this.ask(`connect/integrations/${encodeURIComponent(name)}`, { method: "POST", body });
  }

  disconnect(name) {
    return this.ask(`connect/integrations/${encodeURIComponent(name)}`, { method: "DELETE" });
  }

  findOutcome(attempt) {
    return this.ask(`connect/attempts/${encodeURIComponent(attempt)}`);
  }

  // Sends a window to the provider. With a form, because its values do not appear in the URL.
  post(name, { target, attempt, origin, config }) {
    const form = document.createElement("form");
    form.method = "post";
    form.action = `oauth/connect/${encodeURIComponent(name)}`;
    form.target = target;
    form.hidden = true;
    const fields = { session: this.#token, attempt, origin, config: JSON.stringify(config) };
    for (const [key, value] of Object.entries(fields)) {
      const input = document.createElement("input");
      input.type = "hidden";
      input.name = key;
      input.value = value;
      form.append(input);
    }
    document.body.append(form);
    form.submit();
    form.remove();
  }
}
