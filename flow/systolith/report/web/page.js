// The page: its headline, its state, and the updates after a choice.

const state = {
  selected: bestFirst(front)[0] ?? complete[0] ?? null,
  x: objectives.length > 1 ? 1 : objectives.length, // indices into AXES
  y: 0,
  colour: -1, // none
  unfinished: false,
  frontOnly: false,
};

function select(point) {
  state.selected = point;
  showPoint(point);
  markRow(point);
  drawPareto(state, select);
  setTimeout(() => drawParallel(state, select)); // the slowest, so all else is on screen before it
}

function drawPlots() {
  drawPareto(state, select);
  drawParallel(state, select);
  drawImportance();
  drawSensitivity();
  drawHistory();
}

function writeHeadline() {
  document.getElementById("name").textContent = study.name;
  const goals = objectives.map((objective) =>
    `${objective.direction} ${objective.label}` +
    (known(objective.limit) ? `${SPACE}${limitOf(objective)}` : ""));
  document.getElementById("objectives").textContent = `Objectives: ${goals.join(", ")}.`;
  const facts = [
    ["on the front", written(front.length)],
    ...Object.entries(study.states).map(([name, count]) => [name.replaceAll("_", " "), written(count)]),
    ["evaluations", written(study.evaluations)],
    ["hypervolume", known(study.hypervolume) ? study.hypervolume.toFixed(3) : MISSING],
    ["wall-clock", duration(study.seconds)],
  ];
  document.getElementById("headline").replaceChildren(...facts.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** A drop-down list for an entry of `state`. */
function fillSelect(id, key, options) {
  const list = document.getElementById(id);
  list.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  list.value = state[key];
  list.addEventListener("change", () => {
    state[key] = Number(list.value);
    drawPareto(state, select);
  });
}

function tick(id, key, redraw) {
  document.getElementById(id).addEventListener("change", (event) => {
    state[key] = event.target.checked;
    redraw(state, select);
  });
}

writeHeadline();
const named = AXES.map((chosen, nth) => [nth, chosen.label]);
fillSelect("axis-x", "x", named);
fillSelect("axis-y", "y", named);
fillSelect("axis-colour", "colour", [[-1, "kind of point"], ...named.slice(0, objectives.length)]);
tick("show-unfinished", "unfinished", drawPareto);
tick("front-only", "frontOnly", drawParallel);
document.getElementById("unfinished").hidden = complete.length === study.points.length;
document.getElementById("download").disabled = front.length === 0;
document.getElementById("download").addEventListener("click", downloadFront);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPlots);
drawFront(select);
drawPlots();
showPoint(state.selected);
markRow(state.selected);
