// The scatter plot: two objectives to choose, a third as colour.

const NUMBER = { name: null, label: "point number", unit: "", direction: null, limit: null };
const AXES = [...objectives, NUMBER];
const placed = (point, chosen) => chosen === NUMBER ? point.number : valueOf(point, chosen);

// In drawing order: the most important kind is on top.
const KINDS = {
  unfinished: { label: "screened out", symbol: "x-thin-open", size: 6, opacity: 0.7 },
  outside: { label: "outside a limit", symbol: "circle-open", size: 7, opacity: 0.7 },
  dominated: { label: "dominated", symbol: "circle", size: 7, opacity: 0.4 },
  front: { label: "front", symbol: "circle", size: 11, opacity: 1 },
  uniform: { label: "uniform patterns", symbol: "square", size: 12, opacity: 1 },
  dense: { label: "dense design", symbol: "diamond", size: 15, opacity: 1 },
};

function kindOf(point) {
  if (point.state !== "complete") return "unfinished";
  if (point.origin === "uniform" || point.origin === "dense") return point.origin;
  if (!point.feasible) return "outside";
  return point.front ? "front" : "dominated";
}

/** Draw the points; a click on a point calls `select`. */
function drawPareto(state, select) {
  const [x, y] = [AXES[state.x], AXES[state.y]];
  const shown = study.points.filter((point) =>
    (state.unfinished || point.state === "complete") &&
    known(placed(point, x)) && known(placed(point, y)));
  const shade = objectives[state.colour];
  const layout = {
    height: 470,
    hovermode: "closest",
    dragmode: "zoom",
    showlegend: true,
    legend: { orientation: "h", x: 0, y: -0.16, yanchor: "top", itemsizing: "constant" },
    margin: { l: 70, r: 15, t: 35, b: 55 },
    uirevision: `${state.x} ${state.y}`, // zoom survives a selection, not another axis
    xaxis: axis(titled(x), { range: span(shown, x) }),
    yaxis: axis(titled(y), { range: span(shown, y) }),
    ...limits({ x, y }, shown),
  };
  if (shade) {
    layout.coloraxis = {
      colorscale: "Cividis",
      colorbar: { title: { text: plain(titled(shade)), side: "right" }, thickness: 14,
                  outlinewidth: 0, exponentformat: "none", separatethousands: true },
    };
  }
  const traces = [
    staircase(shown, x, y),
    ...Object.keys(KINDS).map((kind) =>
      marks(kind, shown.filter((point) => kindOf(point) === kind), x, y, shade)),
    ring(shown.filter((point) => point === state.selected), x, y),
  ];
  const plot = draw("pareto", shown.length ? "" : "No complete point yet.", traces, layout);
  if (plot && !plot.dataset.listens) {
    plot.dataset.listens = "yes";
    plot.on("plotly_click", (event) => select(study.points[event.points[0].customdata]));
  }
}

function marks(kind, points, x, y, shade) {
  const style = KINDS[kind];
  const shaded = shade && kind !== "unfinished";
  return {
    type: "scatter",
    mode: "markers",
    name: style.label,
    showlegend: points.length > 0,
    x: points.map((point) => placed(point, x)),
    y: points.map((point) => placed(point, y)),
    customdata: points.map((point) => study.points.indexOf(point)),
    text: points.map(hoverText),
    hoverinfo: "text",
    marker: {
      symbol: points.map((point) =>
        point.feasible || style.symbol.endsWith("-open") ? style.symbol : `${style.symbol}-open`),
      size: style.size,
      opacity: shaded ? Math.max(style.opacity, 0.6) : style.opacity,
      color: shaded ? points.map((point) => valueOf(point, shade)) : colour(kind),
      coloraxis: shaded ? "coloraxis" : undefined,
      // Baselines on the front have a rim in its colour.
      line: {
        width: points.map((point) => point.front && kind !== "front" ? 3 : 1),
        color: points.map((point) => colour(
          kind === "unfinished" || kind === "outside" ? kind :
          point.front && kind !== "front" ? "front" : "surface")),
      },
    },
  };
}

/** The front of two objectives, as the border of the region that it dominates. */
function staircase(points, x, y) {
  const cost = (point, chosen) => (maximized(chosen) ? -1 : 1) * placed(point, chosen);
  let best = Infinity;
  const steps = x === NUMBER || y === NUMBER ? [] : points
    .filter((point) => point.front)
    .sort((a, b) => cost(a, x) - cost(b, x) || cost(a, y) - cost(b, y))
    .filter((point) => {
      const better = cost(point, y) < best;
      if (better) best = cost(point, y);
      return better;
    });
  return {
    type: "scatter",
    mode: "lines",
    x: steps.map((point) => placed(point, x)),
    y: steps.map((point) => placed(point, y)),
    line: { shape: "hv", color: colour("front"), width: 2 },
    hoverinfo: "skip",
    showlegend: false,
  };
}

/** A ring around the selected point. */
function ring(points, x, y) {
  return {
    type: "scatter",
    mode: "markers",
    name: "selected",
    x: points.map((point) => placed(point, x)),
    y: points.map((point) => placed(point, y)),
    marker: { symbol: "circle-open", size: 22, color: colour("selected"), line: { width: 3.5 } },
    hoverinfo: "skip",
    showlegend: points.length > 0,
  };
}

/** Range of an axis: all points, and the limit if it is near. */
function span(points, chosen) {
  const values = points.map((point) => placed(point, chosen));
  let [low, high] = extent(values);
  const width = high - low || Math.abs(high) || 1;
  const limit = known(chosen.limit) ? scale(chosen) * chosen.limit : low;
  if (limit > low - width && limit < high + width) {
    [low, high] = [Math.min(low, limit), Math.max(high, limit)];
  }
  return [low - 0.06 * width, high + 0.06 * width];
}

/** Shades of the regions beyond the visible limits. */
function limits(chosen, points) {
  const [shapes, annotations] = [[], []];
  for (const [letter, other] of [["x", "y"], ["y", "x"]]) {
    const objective = chosen[letter];
    const [low, high] = span(points, objective);
    const limit = scale(objective) * objective.limit;
    if (!known(objective.limit) || limit < low || limit > high) continue;
    const up = maximized(objective);
    shapes.push({
      type: "rect",
      layer: "below",
      [`${letter}0`]: limit, [`${letter}1`]: limit + (up ? -100 : 100) * (high - low),
      [`${other}0`]: 0, [`${other}1`]: 1, [`${other}ref`]: "paper",
      fillcolor: colour("forbidden"),
      line: { color: colour("bad"), width: 1, dash: "dot" },
    });
    annotations.push({
      text: plain(`${objective.label} ${limitOf(objective)}`),
      font: { color: colour("bad"), size: 12 },
      showarrow: false,
      [letter]: limit, [other]: letter === "x" ? 1 : 0, [`${other}ref`]: "paper",
      ...(letter === "x" ? { textangle: -90, yanchor: "top", xanchor: up ? "left" : "right" }
        : { xanchor: "left", yanchor: up ? "bottom" : "top" }),
    });
  }
  return { shapes, annotations };
}

const extent = (values) => values.reduce(
  ([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

function hoverText(point) {
  const lines = objectives.map((objective) =>
    `${plain(objective.label)}: <b>${plain(measured(objective, point.values[objective.name]))}</b>`);
  return [`<b>Point ${written(point.number)}</b>, ${KINDS[kindOf(point)].label}`, ...lines].join("<br>");
}
