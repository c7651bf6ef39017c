// The last page of a login window. It sends the result to the page that opened it, and to no other.
(() => {
  "use strict";
  const { message, origin, kind, words } = document.body.dataset;
  const texts = JSON.parse(words);
  let isSent = false;
  try {
    if (message && origin && window.opener) {
      window.opener.postMessage(JSON.parse(message), origin);
      isSent = true;
    }
  } catch {
    // The opener asks the server instead.
  }
  const hint = document.querySelector(".hint");
  if (kind === "ok") {
    const next = isSent ? texts.closes_itself : texts.close_window_and_return;
    if (hint) hint.textContent = next;
    setTimeout(() => window.close(), 1000);
    return;
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button is-second";
  close.textContent = texts.close_this_window;
  close.addEventListener("click", () => window.close());
  document.querySelector("main").append(close);
})();
