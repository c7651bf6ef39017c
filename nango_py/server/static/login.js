// One try to log in at a provider, in a window of its own.

const EVERY = 2000;
const LONGEST = 10 * 60 * 1000;
const WIDTH = 520;
const HEIGHT = 740;

export function newAttempt() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

// Opens a window. Has to be called while a click is handled, or browsers block it; null when they do.
function opened(name) {
  const left = Math.max(0, Math.round(screenX + (outerWidth - WIDTH) / 2));
  const top = Math.max(0, Math.round(screenY + (outerHeight - HEIGHT) / 3));
  const popup = window.open("", name, `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
  return popup && !popup.closed ? popup : null;
}

export class Login {
  // hears: {finished(outcome), closed(), failed(error)}
  constructor(session, name, config, hears) {
    this.session = session;
    this.name = name;
    this.config = config;
    this.hears = hears;
    this.attempt = newAttempt();
    this.window = `nango-${this.attempt}`;
    this.isOver = false;
  }

  // Whether a window could be opened. Without one the caller shows a button that leads to `again`.
  begin() {
    this.popup = opened(this.window);
    if (!this.popup) return false;
    this.#go(this.window);
    return true;
  }

  // Into a new tab: by a click on a button, browsers that block windows allow it.
  again() {
    this.popup = opened(this.window);
    this.#go(this.popup ? this.window : "_blank");
  }

  front() {
    this.popup?.focus();
  }

  end() {
    this.isOver = true;
    clearTimeout(this.timer);
    removeEventListener("message", this.onmessage);
    removeEventListener("focus", this.onfocus);
  }

  #go(target) {
    const { attempt, config } = this;
    this.session.post(this.name, { target, attempt, origin: location.origin, config });
    this.until = Date.now() + LONGEST;
    this.onmessage = (event) => this.#heard(event);
    this.onfocus = () => this.#ask();
    addEventListener("message", this.onmessage);
    addEventListener("focus", this.onfocus);
    this.#later();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), EVERY);
  }

  #heard(event) {
    const said = event.data;
    if (event.origin !== location.origin || said?.source !== "nango-connect" || said.attempt !== this.attempt) return;
    this.#finish({ ...said, ok: said.type === "AUTHORIZATION_SUCEEDED" });
  }

  // Some providers cut the window off from this page, so the server is asked too.
  async #ask() {
    clearTimeout(this.timer);
    const wasClosed = !this.popup || this.popup.closed;
    try {
      const said = await this.session.attempted(this.attempt);
      if (this.isOver) return;
      if (said.done) return this.#finish(said);
    } catch (error) {
      if (this.isOver) return;
      if (error.endsSession) {
        this.end();
        return this.hears.failed(error);
      }
    }
    // A window that was cut off looks closed, so we say so and go on asking.
    if (wasClosed && this.popup) this.hears.closed();
    if (Date.now() < this.until) this.#later();
  }

  #finish(outcome) {
    if (this.isOver) return;
    this.end();
    this.hears.finished(outcome);
  }
}
