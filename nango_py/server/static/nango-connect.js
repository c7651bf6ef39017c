/*
 * Connects accounts from your own page. A classic script that sets NangoConnect.
 *
 *   <script src="https://product.example/nango/nango-connect.js"></script>
 *
 *   const nango = new NangoConnect("https://product.example/nango"); // oauth_server_root_url
 *   button.onclick = async () => {
 *     try {
 *       const result = await nango.connect("slack", session);
 *     } catch (error) {
 *       console.log(error.code, error.message);
 *     }
 *   };
 *
 * `session` is the token of nango.connect_session(...).token, fetched beforehand: connect() must be called
 * while handling a click, or browsers block the window. Add your page's origin to config.connect_origins.
 *
 * error.code: popup_blocked, popup_closed, access_denied, session_expired, and others: docs/connect.md.
 * A closed window ends an attempt once your page has had the focus for `patienceSeconds`: some providers sever
 * their window, which then only looks closed. The server reports how such a login ended.
 */
(function (global) {
  "use strict";

  const POLL_INTERVAL = 2000;
  const FATAL = ["session_expired", "session_invalid", "not_allowed"];

  function newAttempt() {
    const bytes = crypto.getRandomValues(new Uint8Array(18));
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
  }

  class NangoConnect {
    constructor(address, { patienceSeconds = 6 } = {}) {
      this.address = String(new URL(address, location.href)).replace(/[?#].*$/, "").replace(/\/+$/, "");
      this.origin = new URL(this.address).origin;
      this.patience = patienceSeconds * 1000;
    }

    // Resolves to {integration, missingScopes}.
    connect(integration, session) {
      return new Promise((resolve, reject) => {
        const attempt = newAttempt();
        const parameters = new URLSearchParams({ session, integration, attempt, origin: location.origin });
        const fail = (code, message) => {
          reject(Object.assign(new Error(message), { name: "NangoConnectError", code, integration }));
        };
        const popup = open(`${this.address}/connect#${parameters}`, `nango-${attempt}`, "popup,width=520,height=740");
        if (!popup || popup.closed) return fail("popup_blocked", "The browser blocked the window.");
        let timer = 0;
        let closedFor = 0;
        let isUnreachable = false;
        let isOver = false;

        const describeClosing = () => {
          if (!isUnreachable) return "The window was closed.";
          const why = `Is ${location.origin} in its connect_origins?`;
          return `The window was closed, and ${this.origin} cannot be asked how the login ended. ${why}`;
        };
        const finish = (result) => {
          isOver = true;
          clearTimeout(timer);
          removeEventListener("message", receive);
          if (result.ok) resolve({ integration, missingScopes: result.missing_scopes || [] });
          else fail(result.code || "provider_error", result.message || "The account was not connected.");
        };
        const receive = ({ origin, source, data }) => {
          const isOurs = origin === this.origin && source === popup && data && data.source === "nango-connect";
          if (!isOurs || data.attempt !== attempt) return;
          if (data.type === "WINDOW_OPENED") popup.postMessage({ ...data, type: "GO_ON" }, this.origin);
          else finish({ ...data, ok: data.type === "AUTHORIZATION_SUCEEDED" });
        };
        const ask = async () => {
          if (popup.closed && document.hasFocus()) closedFor += POLL_INTERVAL;
          try {
            const headers = { Authorization: `Bearer ${session}` };
            const options = { headers, cache: "no-store", credentials: "omit" };
            const response = await fetch(`${this.address}/connect/attempts/${attempt}`, options);
            const result = await response.json();
            isUnreachable = false;
            if (result.done) return finish(result);
            if (result.error && FATAL.includes(result.error.code)) return finish(result.error);
          } catch {
            isUnreachable = true; // the network may be down; the window may still report
          }
          if (closedFor > this.patience) return finish({ code: "popup_closed", message: describeClosing() });
          if (!isOver) timer = setTimeout(ask, POLL_INTERVAL);
        };
        addEventListener("message", receive);
        timer = setTimeout(ask, POLL_INTERVAL);
      });
    }
  }

  global.NangoConnect = NangoConnect;
})(globalThis);
