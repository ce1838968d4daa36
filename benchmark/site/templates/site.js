"use strict";

// Leaderboards: choice of protocol and section, filter by words, sorting by any column.
(() => {
  const section = document.getElementById("section");
  const protocol = document.getElementById("protocol");
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  if (!section || !filter) return;

  const visibleTable = () =>
    [...document.querySelectorAll(".section")].find((part) => part.dataset.section === section.value);

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const part of document.querySelectorAll(".section")) part.hidden = part.dataset.section !== section.value;
    const rows = [...visibleTable().querySelectorAll("tbody tr")];
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} runs`;
  }

  function value(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  }

  function sort(button) {
    const head = button.closest("th");
    const table = button.closest("table");
    const column = head.cellIndex;
    const first = head.classList.contains("n") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([one], [two]) => sign * (typeof one === "number" ? one - two : one.localeCompare(two)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  // Each protocol has a page of its own; the section goes along behind the #.
  protocol?.addEventListener("change", () => location.assign(`${protocol.value}#${section.value}`));
  const wanted = decodeURIComponent(location.hash.slice(1));
  if ([...section.options].some((option) => option.value === wanted)) section.value = wanted;
  section.addEventListener("change", show);
  filter.addEventListener("input", show);
  document.addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".sortable thead button"))
    button.addEventListener("click", () => sort(button));
  show();
})();
