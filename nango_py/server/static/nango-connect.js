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
 * `session` is the token of nango.connect_session(...).token, fetched beforehand: connect() has to be called
 * while a click is handled, or browsers block the window. Your page's origin belongs in config.connect_origins.
 *
 * error.code: popup_blocked, popup_closed, access_denied, session_expired, and others: docs/connect.md.
 * A closed window ends a try once your page has had the focus for `patienceSeconds`: some providers cut their
 * window off, and then it only looks closed; the server tells how such a login ended.
 */
(function (global) {
  "use strict";

  const EVERY = 2000;
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
        const given = new URLSearchParams({ session, integration, attempt, origin: location.origin });
        const fail = (code, message) => {
          reject(Object.assign(new Error(message), { name: "NangoConnectError", code, integration }));
        };
        const popup = open(`${this.address}/connect#${given}`, `nango-${attempt}`, "popup,width=520,height=740");
        if (!popup || popup.closed) return fail("popup_blocked", "The browser blocked the window.");
        let timer = 0;
        let closedFor = 0;
        let isUnheard = false;
        let isOver = false;

        const closed = () => {
          if (!isUnheard) return "The window was closed.";
          const why = `Is ${location.origin} in its connect_origins?`;
          return `The window was closed, and ${this.origin} cannot be asked how it ended. ${why}`;
        };
        const finish = (said) => {
          isOver = true;
          clearTimeout(timer);
          removeEventListener("message", hear);
          if (said.ok) resolve({ integration, missingScopes: said.missing_scopes || [] });
          else fail(said.code || "provider_error", said.message || "The account was not connected.");
        };
        const hear = ({ origin, source, data }) => {
          const isOurs = origin === this.origin && source === popup && data && data.source === "nango-connect";
          if (!isOurs || data.attempt !== attempt) return;
          if (data.type === "WINDOW_OPENED") popup.postMessage({ ...data, type: "GO_ON" }, this.origin);
          else finish({ ...data, ok: data.type === "AUTHORIZATION_SUCEEDED" });
        };
        const ask = async () => {
          if (popup.closed && document.hasFocus()) closedFor += EVERY;
          try {
            const headers = { Authorization: `Bearer ${session}` };
            const options = { headers, cache: "no-store", credentials: "omit" };
            const response = await fetch(`${this.address}/connect/attempts/${attempt}`, options);
            const said = await response.json();
            isUnheard = false;
            if (said.done) return finish(said);
            if (said.error && FATAL.includes(said.error.code)) return finish(said.error);
          } catch {
            isUnheard = true; // perhaps the network is away; the window may still tell us
          }
          if (closedFor > this.patience) return finish({ code: "popup_closed", message: closed() });
          if (!isOver) timer = setTimeout(ask, EVERY);
        };
        addEventListener("message", hear);
        timer = setTimeout(ask, EVERY);
      });
    }
  }

  global.NangoConnect = NangoConnect;
})(globalThis);
