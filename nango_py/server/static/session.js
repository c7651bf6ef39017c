// The connect session: its token, and the questions that are asked with it.

const KEPT = "nango-connect";
const AWAY = "There is no connection to this page’s server. Check your network and try again.";
const BROKEN = "Something went wrong here. Try again in a moment.";
const NAMES = ["session", "integration", "attempt", "origin"];

// What went wrong, as the server says it: a code to decide by, a sentence to show, a sentence for each field.
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

// The token comes in the fragment, which is sent to no server. It leaves the address bar at once; a copy stays
// in the storage of this tab, so that the page can be loaded again.
export function opened() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("session")) {
    const parts = Object.fromEntries(NAMES.map((name) => [name, given.get(name) ?? ""]));
    stored(parts);
    history.replaceState(null, "", location.pathname + location.search);
    return new Session(parts);
  }
  return new Session(stored() ?? {});
}

function stored(parts) {
  try {
    if (parts) sessionStorage.setItem(KEPT, JSON.stringify(parts));
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  } catch {
    return null; // a browser that keeps nothing: a reload will ask for a new link
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

  // What whoever opened this page as a window asked for.
  get asked() {
    return { attempt: this.attempt, origin: this.origin };
  }

  get isThere() {
    return this.#token !== "";
  }

  async ask(path, { method = "GET", body } = {}) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    let said = null;
    try {
      const text = body === undefined ? undefined : JSON.stringify(body);
      response = await fetch(path, { method, headers, body: text, cache: "no-store", credentials: "omit" });
      said = await response.json();
    } catch {
      if (!response) throw new Refused("offline", AWAY);
    }
    if (response.ok && said) return said;
    const error = said?.error ?? {};
    throw new Refused(error.code ?? "broken", error.message ?? BROKEN, error.fields);
  }

  offers() {
    return this.ask("connect/session");
  }

  submit(name, values) {
    const body = { ...values, attempt: this.attempt };
    return this.ask(`connect/integrations/${encodeURIComponent(name)}`, { method: "POST", body });
  }

  disconnect(name) {
    return this.ask(`connect/integrations/${encodeURIComponent(name)}`, { method: "DELETE" });
  }

  attempted(attempt) {
    return this.ask(`connect/attempts/${encodeURIComponent(attempt)}`);
  }

  // Sends a window to the provider. A form, because what a form posts stands in no address.
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
