/*
 * Connects accounts from your own page. No dependencies; a classic script that sets NangoConnect.
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
 * error.code: popup_blocked, popup_closed, access_denied, session_expired, and the others of docs/connect.md.
 * A closed window ends a try once your page has had the focus for `patienceSeconds`: some providers cut their
 * window off, and then it only looks closed; the server tells how such a login ended.
 */
(function (global) {
  "use strict";

  const EVERY = 2000;
  const FATAL = ["session_expired", "session_invalid", "not_allowed"];

  function failure(code, message, integration) {
    return Object.assign(new Error(message), { name: "NangoConnectError", code, integration });
  }

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
        const popup = open(`${this.address}/connect#${given}`, `nango-${attempt}`, "popup,width=520,height=740");
        if (!popup || popup.closed) return reject(failure("popup_blocked", "The browser blocked the window.", integration));
        let timer = 0;
        let closedFor = 0;
        let isOver = false;

        const finish = (said, error) => {
          isOver = true;
          clearTimeout(timer);
          removeEventListener("message", hear);
          if (error) reject(error);
          else if (said.ok) resolve({ integration, missingScopes: said.missing_scopes || [] });
          else reject(failure(said.code || "provider_error", said.message || "The account was not connected.", integration));
        };
        const hear = ({ origin, source, data }) => {
          if (origin !== this.origin || source !== popup || !data || data.source !== "nango-connect" || data.attempt !== attempt) return;
          finish({ ...data, ok: data.type === "AUTHORIZATION_SUCEEDED" });
        };
        const ask = async () => {
          if (popup.closed && document.hasFocus()) closedFor += EVERY;
          try {
            const headers = { Authorization: `Bearer ${session}` };
            const answer = await fetch(`${this.address}/connect/attempts/${attempt}`, { headers, cache: "no-store", credentials: "omit" });
            const said = await answer.json();
            if (said.done) return finish(said);
            if (said.error && FATAL.includes(said.error.code)) return finish(null, failure(said.error.code, said.error.message, integration));
          } catch {
            // Perhaps the network is away; the window may still tell us.
          }
          if (closedFor > this.patience) return finish(null, failure("popup_closed", "The window was closed.", integration));
          if (!isOver) timer = setTimeout(ask, EVERY);
        };
        addEventListener("message", hear);
        timer = setTimeout(ask, EVERY);
      });
    }
  }

  global.NangoConnect = NangoConnect;
})(globalThis);
