"use strict";
// Marks of rows stay in this browser, by set; the server is never told of them.
const boxes = [...document.querySelectorAll("[data-mark]")];
const bar = document.querySelector(".marks");
const key = `shardio marks ${document.body.dataset.set}`;
const nameOf = (mark) => `${mark.member ?? ""} ${mark.row}`;
const load = () => {
  try {
    return new Map(JSON.parse(localStorage.getItem(key) || "[]"));
  } catch {
    return new Map();
  }
};
const show = () => {
  const marks = load();
  for (const box of boxes) box.checked = marks.has(nameOf(JSON.parse(box.dataset.mark)));
  if (bar) bar.querySelector("output").textContent = `${marks.size} marked`;
};
const change = (turn) => {
  const marks = load();
  turn(marks);
  try {
    localStorage.setItem(key, JSON.stringify([...marks]));
  } catch {
    // Without a place for them they are gone with the page.
  }
  show();
};
const set = (marks, box, on) => {
  const mark = JSON.parse(box.dataset.mark);
  if (on) marks.set(nameOf(mark), mark);
  else marks.delete(nameOf(mark));
};
const quoted = (value) => `"${value.replaceAll('"', '""')}"`;
const save = () => {
  const marks = [...load().values()].sort((a, b) => (a.member ?? 0) - (b.member ?? 0) || a.row - b.row);
  const joined = marks.some((mark) => mark.member !== null);
  const lines = [joined ? "member,row,path" : "row,path"];
  for (const mark of marks) {
    const path = mark.path === null ? "" : quoted(mark.path);
    lines.push(joined ? `${mark.member},${mark.row},${path}` : `${mark.row},${path}`);
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  link.download = "rows.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
for (const box of boxes) {
  box.parentElement.hidden = false;
  box.addEventListener("change", () => change((marks) => set(marks, box, box.checked)));
}
if (bar) {
  bar.hidden = false;
  const does = {
    page: () => change((marks) => boxes.forEach((box) => set(marks, box, true))),
    none: () => change((marks) => marks.clear()),
    save,
  };
  for (const button of bar.querySelectorAll("[data-do]")) button.addEventListener("click", does[button.dataset.do]);
}
addEventListener("storage", show);
addEventListener("pageshow", show);
show();
// The arrows go where the links lead.
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, button")) return;
  const to = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = to && document.querySelector(`a[rel=${to}]`);
  if (link) link.click();
});
// What is still being made comes when it is there.
if (document.querySelector("[data-wait]")) setTimeout(() => location.reload(), 1500);
