// The words of the page, in the language of the browser until the session asks for another.

let texts = JSON.parse(document.body.dataset.words);

export const language = () => document.documentElement.lang;

// t("connected_as", {account: "Acme"}); values are inserted as they are.
export function t(name, values = {}) {
  return texts[name].replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

export const has = (name) => name in texts;

// What an error means. English shows the server's message, other languages what its code means.
export function describe(error, title) {
  const name = `error_${error.code}`;
  return t(has(name) ? name : "error_other", { message: error.message, title });
}

export function use(data) {
  texts = data.words;
  document.documentElement.lang = data.language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
}
