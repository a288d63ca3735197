// The front as a sortable table of selectable points, and as a file.

const FRONT_COLUMNS = [
  { title: "point", number: true, value: (point) => point.number, text: (point) => written(point.number) },
  ...objectives.map((objective) => ({
    title: titled(objective),
    number: true,
    descending: maximized(objective), // the best first
    value: (point) => point.values[objective.name],
    text: (point) => objective.unit === "%" ? percentage(point.values[objective.name])
      : written(point.values[objective.name]),
  })),
  { title: "origin", value: (point) => point.origin },
  { title: "epochs", number: true, value: (point) => point.epochs },
  { title: "seed", number: true, value: (point) => point.seed },
];
const sorting = { column: 1, descending: Boolean(FRONT_COLUMNS[1].descending) };
const rowOf = new Map(); // from points to table rows

function drawFront(select) {
  const place = document.getElementById("front");
  if (!front.length) {
    place.replaceChildren(element("p", { class: "note" }, "No complete point yet."));
    return;
  }
  const table = element("table", { role: "grid", "aria-labelledby": "front-title" },
    element("thead", {}, element("tr", {}, ...FRONT_COLUMNS.map(heading))), element("tbody"));
  for (const point of front) rowOf.set(point, frontRow(point, select));
  table.addEventListener("keydown", moveFocus);
  place.replaceChildren(table);
  sortFront();
}

function heading(column, nth) {
  const button = element("button", { type: "button" }, column.title);
  button.addEventListener("click", () => {
    sorting.descending = sorting.column === nth ? !sorting.descending : Boolean(column.descending);
    sorting.column = nth;
    sortFront();
  });
  return element("th", { scope: "col", class: column.number ? "number" : "" }, button);
}

function frontRow(point, select) {
  const cells = FRONT_COLUMNS.map((column) => element("td", { class: column.number ? "number" : "" },
    column.text?.(point) ?? String(column.value(point) ?? MISSING)));
  const row = element("tr", { tabindex: "-1", "aria-selected": "false", "data-number": point.number }, ...cells);
  row.addEventListener("click", () => select(point));
  return row;
}

/** Sort the rows; missing values come last in both orders. */
function sortFront() {
  const column = FRONT_COLUMNS[sorting.column];
  const order = sorting.descending ? -1 : 1;
  const compared = (a, b) => typeof a === "number" ? a - b : String(a).localeCompare(String(b));
  const sorted = [...front].sort((first, second) => {
    const [a, b] = [column.value(first), column.value(second)];
    if (!known(a) || !known(b)) return known(b) - known(a);
    return order * compared(a, b) || first.number - second.number;
  });
  document.querySelector("#front tbody").replaceChildren(...sorted.map((point) => rowOf.get(point)));
  document.querySelectorAll("#front th").forEach((head, nth) => {
    const mark = sorting.descending ? "\u2193" : "\u2191";
    const here = nth === sorting.column;
    head.ariaSort = here ? (sorting.descending ? "descending" : "ascending") : "none";
    head.firstChild.textContent = FRONT_COLUMNS[nth].title + (here ? `${SPACE}${mark}` : "");
  });
}

/** The tab key reaches one row; arrow keys reach the others. */
function moveFocus(event) {
  const row = event.target.closest("tbody tr");
  if (!row) return;
  const rows = [...row.parentElement.children];
  const goal = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling,
                 Home: rows[0], End: rows.at(-1) }[event.key];
  if (goal) goal.focus();
  if (event.key === "Enter" || event.key === " ") row.click();
  if (goal || event.key === " ") event.preventDefault();
}

function markRow(selected) {
  for (const [point, row] of rowOf) row.ariaSelected = String(point === selected);
  for (const row of rowOf.values()) row.tabIndex = -1;
  const reached = rowOf.get(selected) ?? document.querySelector("#front tbody tr");
  if (reached) reached.tabIndex = 0;
}

/** The front with all choices, in full precision (RFC 4180). */
function frontAsCsv() {
  const field = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const names = study.choices.map((choice) => choice.name);
  const heads = ["number", ...objectives.map((objective) => objective.name), ...names, "origin", "epochs", "seed"];
  const rows = front.map((point) => [
    point.number, ...objectives.map((objective) => point.values[objective.name]),
    ...names.map((name) => point.choices[name]), point.origin, point.epochs, point.seed]);
  return [heads, ...rows].map((row) => row.map(field).join(",") + "\r\n").join("");
}

function downloadFront() {
  const address = URL.createObjectURL(new Blob([frontAsCsv()], { type: "text/csv" }));
  const name = `${study.name.replace(/[^\w.-]+/g, "-")}-front.csv`;
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
