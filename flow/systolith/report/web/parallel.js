// Parallel coordinates: one line per point, one axis per objective and per choice.

const MOST_AXES = 60; // of Plotly's parallel coordinates
const AXIS_WIDTH = 88; // pixels, at least
const NEAR = 8; // pixels from a click to its line
const LONGEST_LABEL = 24; // characters
const STRANDS = [-2, -1, 1, 2]; // further lines beside the selected one, which make it thick

const drawnLines = (state) => bestFirst(state.frontOnly ? front : complete);

/** Draw a line for each complete point; a click on a line calls `select`. */
function drawParallel(state, select) {
  const shown = drawnLines(state);
  const varies = (choice) => new Set(shown.map((point) => point.choices[choice.name])).size > 1;
  const varied = study.choices.filter(varies);
  const same = study.choices.filter((choice) => !varies(choice)).map((choice) => choice.name);
  const dimensions = [
    ...objectives.filter((objective) => shown.some((point) => known(valueOf(point, objective))))
      .map((objective) => objectiveAxis(objective, shown)),
    ...varied.map((choice) => choiceAxis(choice, shown)),
  ].slice(0, MOST_AXES);
  const strands = shown.includes(state.selected) ? STRANDS : [];
  for (const dimension of dimensions) {
    const value = dimension.values[shown.indexOf(state.selected)];
    const step = 0.0014 * (dimension.range[1] - dimension.range[0]);
    dimension.values.push(...strands.map((strand) => value + strand * step));
  }
  const note = document.getElementById("parallel-note");
  note.textContent = "Up is better. Points with the same option are ordered by " +
    `${objectives[0].label}. Drag along an axis to filter the lines; ` +
    "click a line to select its point." + (same.length && shown.length ?
      ` Left out, because they are equal for all points: ${same.join(", ")}.` : "");
  document.getElementById("parallel").style.minWidth = `${AXIS_WIDTH * (dimensions.length + 1)}px`;
  const traces = [{
    type: "parcoords",
    dimensions,
    labelangle: -30,
    labelside: "top",
    labelfont: { color: colour("ink"), size: 12 },
    tickfont: { color: colour("ink"), size: 11 },
    rangefont: { color: colour("muted"), size: 11 },
    uirevision: "kept", // so do the ranges that were drawn on axes
    unselected: { line: { color: colour("grid"), opacity: 0.35 } },
    line: {
      // Higher values lie on top.
      color: [...shown.map((point) => point === state.selected ? 2 : point.front ? 1 : 0), ...strands.map(() => 2)],
      cmin: 0,
      cmax: 2,
      colorscale: [[0, colour("dominated-line")], [0.5, colour("front-line")], [1, colour("selected")]],
    },
  }];
  const layout = { height: 430, margin: { l: 75, r: 60, t: 125, b: 30 } };
  const plot = draw("parallel", shown.length ? "" : "No complete point yet.", traces, layout);
  if (plot && !plot.dataset.listens) {
    plot.dataset.listens = "yes";
    plot.addEventListener("click", (event) => { // Plotly reports no clicks on lines
      const point = drawnLines(state)[lineAt(plot, event)];
      if (point && event.target.tagName === "CANVAS") select(point);
    });
  }
}

/** Index of the line nearest to a click, if it is near and not filtered out. */
function lineAt(plot, event) {
  const { margin, height } = plot.layout;
  const { dimensions } = plot.data[0];
  const box = plot.getBoundingClientRect();
  const gap = (box.width - margin.l - margin.r) / (dimensions.length - 1);
  const along = (event.clientX - box.left - margin.l) / gap;
  const left = Math.floor(along);
  if (!(left >= 0 && left < dimensions.length - 1)) return -1;
  const heightOn = ({ range, values }, line) => margin.t +
    (height - margin.t - margin.b) * (range[1] - values[line]) / (range[1] - range[0]);
  let [nearest, least] = [-1, NEAR];
  dimensions[0].values.forEach((_, line) => {
    if (dimensions.some((dimension) => brushedAway(dimension, line))) return;
    const start = heightOn(dimensions[left], line);
    const rise = heightOn(dimensions[left + 1], line) - start;
    const below = start + rise * (along - left) - (event.clientY - box.top);
    const distance = Math.abs(below) / Math.hypot(1, rise / gap);
    if (distance < least) [nearest, least] = [line, distance];
  });
  return nearest;
}

function brushedAway({ constraintrange, values }, line) {
  if (!constraintrange) return false;
  const ranges = Array.isArray(constraintrange[0]) ? constraintrange : [constraintrange];
  return !ranges.some(([low, high]) => values[line] >= low && values[line] <= high);
}

const shortened = (text) =>
  plain(text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}\u2026` : text);

function objectiveAxis(objective, points) {
  const values = points.map((point) => valueOf(point, objective));
  const [low, high] = extent(values.filter(known));
  const width = high - low || Math.abs(high) || 1;
  const range = low === high ? [low - width, high + width] : [low, high];
  return {
    label: shortened(titled(objective).length > LONGEST_LABEL ? objective.label : titled(objective)),
    values: values.map((value) => value ?? NaN),
    range: maximized(objective) ? range : range.reverse(),
    tickformat: Math.max(Math.abs(low), Math.abs(high)) >= 1000 ? ",.0f" : ",.4~r",
  };
}

function choiceAxis(choice, points) {
  const options = [...choice.options];
  const places = points.map((point) => {
    const option = point.choices[choice.name];
    if (!options.includes(option)) options.push(option); // a choice that this point does not have
    return options.indexOf(option);
  });
  // Lines spread a little around an option, so that each one can be followed.
  const spread = (nth) => 0.3 * (0.5 - nth / Math.max(1, points.length - 1));
  return {
    label: shortened(choice.name),
    values: places.map((place, nth) => place + spread(nth)),
    range: [-0.2, options.length - 0.8],
    tickvals: options.map((_, place) => place),
    ticktext: options.map((option) => known(option) ? String(option) : "none"),
  };
}
