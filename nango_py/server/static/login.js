// One attempt to log in at a provider, in a new window.

const POLL_INTERVAL = 2000;
const MAX_DURATION = 10 * 60 * 1000;
const WIDTH = 520;
const HEIGHT = 740;

export function newAttempt() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

// Opens a window, or returns null if the browser blocks it. Must be called while handling a click.
function openWindow(name) {
  const left = Math.max(0, Math.round(screenX + (outerWidth - WIDTH) / 2));
  const top = Math.max(0, Math.round(screenY + (outerHeight - HEIGHT) / 3));
  const popup = window.open("", name, `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
  return popup && !popup.closed ? popup : null;
}

export class Login {
  // listener: {finished(outcome), closed(), failed(error)}
  constructor(session, name, config, listener) {
    this.session = session;
    this.name = name;
    this.config = config;
    this.listener = listener;
    this.attempt = newAttempt();
    this.window = `nango-${this.attempt}`;
    this.isOver = false;
  }

  // Returns whether a window was opened. If not, the caller shows a button that calls `again`.
  begin() {
    this.popup = openWindow(this.window);
    if (!this.popup) return false;
    this.#go(this.window);
    return true;
  }

  // Opens a new tab, which browsers that block windows allow on a click.
  again() {
    this.popup = openWindow(this.window);
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
    this.until = Date.now() + MAX_DURATION;
    this.onmessage = (event) => this.#receive(event);
    this.onfocus = () => this.#ask();
    addEventListener("message", this.onmessage);
    addEventListener("focus", this.onfocus);
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), POLL_INTERVAL);
  }

  #receive(event) {
    const message = event.data;
    if (event.origin !== location.origin || message?.source !== "nango-connect" || message.attempt !== this.attempt) return;
    this.#finish({ ...message, ok: message.type === "AUTHORIZATION_SUCEEDED" });
  }

  // Some providers sever the window from this page, so the server is asked as well.
  async #ask() {
    clearTimeout(this.timer);
    const wasClosed = !this.popup || this.popup.closed;
    try {
      const outcome = await this.session.findOutcome(this.attempt);
      if (this.isOver) return;
      if (outcome.done) return this.#finish(outcome);
    } catch (error) {
      if (this.isOver) return;
      if (error.endsSession) {
        this.end();
        return this.listener.failed(error);
      }
    }
    // A severed window looks closed, so this is reported, and the server is asked again.
    if (wasClosed && this.popup) this.listener.closed();
    if (Date.now() < this.until) this.#schedule();
  }

  #finish(outcome) {
    if (this.isOver) return;
    this.end();
    this.listener.finished(outcome);
  }
}
