// The choices of the selected point, and the commands that build it.

const LAYER_COLUMNS = [
  { title: "layer", key: "layer" },
  { title: "pattern", key: "pattern" },
  { title: "weight bits", key: "weight_bits", number: true },
  { title: "activation bits", key: "act_bits", number: true },
  { title: "array", key: "array" },
  { title: "multipliers", key: "multipliers", number: true, total: "sum" },
  { title: "cycles", key: "cycles", number: true, total: "most" },
  { title: "LUTs", key: "luts", number: true, total: "sum" },
  { title: "DSPs", key: "dsps", number: true, total: "sum" },
  { title: "block RAMs", key: "block_rams", number: true, total: "sum" },
  { title: "busy cycles", key: "utilization", number: true, share: true },
];

function showPoint(point) {
  const title = document.getElementById("selected-title");
  const panel = document.getElementById("selected");
  const tags = document.getElementById("selected-tags");
  title.textContent = point ? `Point ${written(point.number)}` : "No point to select yet";
  tags.replaceChildren(...(point ? tagsOf(point) : []));
  panel.replaceChildren(...(point ? [objectiveTable(point), ...commandBlock(point), choiceList(point)] : []));
  document.getElementById("layers").replaceChildren(layerTable(point?.layers ?? []));
}

function tagsOf(point) {
  const tags = [
    point.front ? element("span", { class: "front" }, "on the front") : point.state === "complete" && point.feasible
      ? "dominated" : point.state === "complete" ? "outside a limit" : point.state,
    { search: "found by search", uniform: "uniform patterns", dense: "dense design" }[point.origin] ?? point.origin,
    known(point.epochs) ? `${written(point.epochs)} epochs` : null,
    known(point.seed) ? `seed ${point.seed}` : null,
  ];
  return tags.filter(known).map((tag) => typeof tag === "string" ? element("span", {}, tag) : tag);
}

function objectiveTable(point) {
  const rows = objectives.map((objective) => {
    const value = point.values[objective.name];
    const missed = misses(objective, value);
    return element("tr", {},
      element("th", { scope: "row" }, objective.label),
      element("td", { class: missed ? "number missed" : "number" },
        measured(objective, value) + (missed ? " (misses)" : "")),
      element("td", {}, known(objective.limit) ? limitOf(objective) : MISSING),
      element("td", {}, standing(point, objective)));
  });
  const titles = ["objective", "value", "limit", "front rank"];
  const heads = titles.map((text, column) =>
    element("th", { scope: "col", class: column === 1 ? "number" : "" }, text));
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

/** Rank of a front point in one objective. */
function standing(point, objective) {
  const mine = valueOf(point, objective);
  if (!point.front || mine === null) return MISSING;
  const ahead = front.filter((other) => maximized(objective)
    ? valueOf(other, objective) > mine : valueOf(other, objective) < mine).length;
  return `${written(ahead + 1)} of ${written(front.length)}`;
}

function commandBlock(point) {
  const commands = point.commands ?? [];
  if (!commands.length) return [];
  const text = element("pre", { id: "commands" },
    ...commands.map((command) => element("code", {}, command)));
  const button = element("button", { type: "button", id: "copy" }, "Copy");
  const said = element("span", { role: "status", class: "note" });
  button.addEventListener("click", async () => {
    said.textContent = await copy(commands.join("\n"), text) ? "Copied." : "Selected: press Ctrl+C.";
  });
  return [
    element("h3", {}, "Build it"), text,
    element("p", { class: "copying" }, button, said)];
}

/** Copy a text to the clipboard; if that fails, select the element that shows it. */
async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}

function choiceList(point) {
  const rows = Object.entries(point.choices).map(([name, option]) => element("tr", {},
    element("th", { scope: "row" }, name), element("td", {}, known(option) ? String(option) : MISSING)));
  return element("details", {}, element("summary", {}, `All ${written(rows.length)} choices`),
    element("table", {}, element("tbody", {}, ...rows)));
}

function layerTable(layers) {
  if (!layers.length) return element("p", { class: "note" }, "This point has no data of layers.");
  const place = (column) => column.number ? "number" : "";
  const heads = LAYER_COLUMNS.map((column) =>
    element("th", { scope: "col", class: place(column) }, column.title));
  const rows = layers.map((layer) => element("tr", {}, ...LAYER_COLUMNS.map((column, nth) => {
    const value = layer[column.key];
    const text = column.share ? percentage(value, 0) : column.number ? written(value) : value ?? MISSING;
    const cell = element(nth ? "td" : "th", { class: place(column) }, text);
    if (!nth) cell.scope = "row";
    if (column.share && known(value)) {
      cell.classList.add("share");
      cell.style.setProperty("--share", `${100 * value}%`);
    }
    return cell;
  })));
  const totals = LAYER_COLUMNS.map((column, nth) => {
    const values = layers.map((layer) => layer[column.key]).filter(known);
    const total = !values.length || !column.total ? "" : column.total === "sum"
      ? written(values.reduce((sum, value) => sum + value, 0))
      : written(Math.max(...values)); // the slowest engine sets the pace of all
    return element(nth ? "td" : "th", { class: place(column) }, nth ? total : "together");
  });
  return element("table", { id: "layer-table" }, element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...rows), element("tfoot", {}, element("tr", {}, ...totals)));
}
