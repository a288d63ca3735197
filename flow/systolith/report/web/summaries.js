// The whole study: importance of choices, sensitivity of layers, progress.

const MOST_CHOICES = 20;

/** Bars of each choice, side by side for the objectives. */
function drawImportance() {
  const measuredOnes = objectives.filter((objective) => study.importance?.[objective.name]);
  const share = (objective, name) => study.importance[objective.name][name] ?? 0;
  const total = (name) => measuredOnes.reduce((sum, objective) => sum + share(objective, name), 0);
  const names = study.choices.map((choice) => choice.name).sort((a, b) => total(b) - total(a));
  const shown = names.slice(0, MOST_CHOICES);
  document.getElementById("importance-note").textContent =
    "Share of an objective's variance that a choice explains." + (shown.length < names.length ?
      ` The ${shown.length} most important of ${written(names.length)} choices are shown.` : "");
  const count = measuredOnes.length;
  const most = Math.max(0.01, ...measuredOnes.flatMap((objective) =>
    shown.map((name) => share(objective, name))));
  const layout = {
    height: 85 + 34 * shown.length,
    margin: { l: 20, r: 10, t: 55, b: 10 },
    yaxis: axis("", { autorange: "reversed", showgrid: false,
                      ticktext: shown.map(plain), tickvals: shown.map((_, row) => row) }),
  };
  const traces = measuredOnes.map((objective, column) => {
    const suffix = column ? column + 1 : "";
    const words = plain(objective.label).split(" ").join("<br>");
    layout[`xaxis${suffix}`] = axis("", {
      domain: [column / count + 0.01, (column + 1) / count - 0.01],
      range: [0, 1.45 * most],
      showticklabels: false,
      showgrid: false,
      side: "top",
      title: { text: words, font: { size: 12 }, standoff: 4 },
    });
    return {
      type: "bar",
      orientation: "h",
      xaxis: `x${suffix}`,
      x: shown.map((name) => share(objective, name)),
      y: shown.map((_, row) => row),
      text: shown.map((name) => `${Math.round(100 * share(objective, name))}${SPACE}%`),
      textposition: "outside",
      cliponaxis: false,
      marker: { color: colour("front") },
      hoverinfo: "skip",
    };
  });
  document.getElementById("importance").style.minWidth = `${150 + 70 * count}px`;
  document.getElementById("importance-card").classList.toggle("wide", count > 3);
  draw("importance", count && shown.length ? "" : "Not known: too few points.", traces, layout);
}

/** Accuracy change by group of layers and option. */
function drawSensitivity() {
  const cells = study.sensitivity ?? [];
  const groups = [...new Set(cells.map((cell) => cell.group))];
  const options = [...new Set(cells.map((cell) => cell.option))];
  const table = groups.map(() => options.map(() => null));
  for (const cell of cells) {
    if (known(cell.change)) table[groups.indexOf(cell.group)][options.indexOf(cell.option)] = 100 * cell.change;
  }
  const most = Math.max(0.01, ...table.flat().map(Math.abs));
  const ticks = (names, more) => axis("", {
    showgrid: false, tickvals: names.map((_, place) => place), ticktext: names.map(plain), ...more });
  const traces = [{
    type: "heatmap",
    z: table,
    text: table.map((row) => row.map((value) => value === null ? "" : signed(value))),
    texttemplate: "%{text}",
    textfont: { color: colour("ink") },
    hoverinfo: "skip",
    xgap: 2,
    ygap: 2,
    zmin: -most,
    zmax: most,
    colorscale: [[0, colour("worse")], [0.5, colour("neutral")], [1, colour("better")]],
    colorbar: { thickness: 14, outlinewidth: 0 },
  }];
  const layout = {
    height: 110 + 36 * groups.length,
    margin: { l: 20, r: 10, t: 10, b: 20 },
    xaxis: ticks(options, {}),
    yaxis: ticks(groups, { autorange: "reversed" }),
  };
  document.getElementById("sensitivity").style.minWidth = `${160 + 60 * options.length}px`;
  draw("sensitivity", cells.length ? "" : "Not measured.", traces, layout);
}

/** Hypervolume over evaluations. */
function drawHistory() {
  const steps = study.history ?? [];
  const traces = [{
    type: "scatter",
    mode: steps.length > 60 ? "lines" : "lines+markers",
    x: steps.map((step) => step.evaluations),
    y: steps.map((step) => step.hypervolume),
    line: { shape: "hv", color: colour("front"), width: 2.5 },
    hovertemplate: "%{x:,} evaluations: %{y:.4f}<extra></extra>",
  }];
  const layout = {
    height: 260,
    xaxis: axis("evaluations"),
    yaxis: axis("hypervolume", { rangemode: "tozero" }),
  };
  draw("history", steps.length ? "" : "No evaluation yet.", traces, layout);
}
