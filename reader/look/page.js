"use strict";
// Filters and sorts the lists of classes; without it all of them are shown.
for (const controls of document.querySelectorAll(".controls")) {
  const list = document.getElementById(controls.dataset.list);
  const search = controls.querySelector("input");
  const order = controls.querySelector("select");
  const count = controls.querySelector("output");
  const items = [...list.children];
  const numbers = { most: "count", rarest: "count", number: "number" };
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const item of items) {
      const words = item.dataset.words.toLowerCase().split(" ");
      const fits = !wanted || words.some((word) => /^\d+$/.test(wanted) && /^\d+$/.test(word) ? word === wanted : word.includes(wanted));
      item.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${items.length} shown`;
  };
  const sort = () => {
    const key = numbers[order.value];
    const sign = order.value === "most" ? -1 : 1;
    items.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.number - b.dataset.number);
    list.append(...items);
  };
  search.addEventListener("input", show);
  order.addEventListener("change", sort);
  controls.hidden = false;
  show();
}
