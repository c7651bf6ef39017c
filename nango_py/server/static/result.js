// The last page of a login's window: it tells the page that opened it, and that page only, how it went.
(() => {
  "use strict";
  const { message, origin, kind } = document.body.dataset;
  let isTold = false;
  try {
    if (message && origin && window.opener) {
      window.opener.postMessage(JSON.parse(message), origin);
      isTold = true;
    }
  } catch {
    // The opener asks the server.
  }
  const hint = document.querySelector(".hint");
  if (kind === "ok") {
    const next = isTold ? "This window closes by itself." : "You can close this window and go on where you began.";
    if (hint) hint.textContent = next;
    setTimeout(() => window.close(), 1000);
    return;
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button is-second";
  close.textContent = "Close this window";
  close.addEventListener("click", () => window.close());
  document.querySelector("main").append(close);
})();
