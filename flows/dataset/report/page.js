"use strict";
(() => {
  const filters = document.querySelector(".filters");
  if (!filters) return;
  const cards = [...document.querySelectorAll("#cards > .card")];
  const buttons = [...filters.querySelectorAll("button")];
  const status = document.getElementById("shown");
  const show = (wanted) => {
    let count = 0;
    for (const card of cards) {
      const visible = wanted === "*" || (wanted === "" ? "first" in card.dataset : card.dataset.task === wanted);
      card.hidden = !visible;
      count += visible;
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.show === wanted));
    status.textContent = `${count} of ${cards.length} rows shown`;
  };
  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.show));
  document.getElementById("outlines").addEventListener("change", (event) => {
    document.getElementById("cards").classList.toggle("bare", !event.target.checked);
  });
  filters.hidden = false;
  show("");
})();
