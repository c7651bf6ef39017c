// The filters of the catalogue: rows that do not match the words, the category and the login are hidden.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form.catalogue");
  if (!form) return;
  const rows = [...document.querySelectorAll("table.catalogue tbody tr")];
  const count = form.querySelector("output");
  const update = () => {
    const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const matches =
        words.every((word) => row.dataset.words.includes(word)) &&
        (!form.category.value || row.dataset.categories.split("|").includes(form.category.value)) &&
        (!form.login.value || row.dataset.login.split("|").includes(form.login.value));
      row.hidden = !matches;
      shown += matches ? 1 : 0;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
});
