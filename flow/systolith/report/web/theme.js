// Shared by all plots: colours of the style sheet, layout, axes.

const CONFIG = { responsive: true, displaylogo: false };
const BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]; // none of those that go online

/** A colour of the style sheet, for the light or dark page. */
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const baseLayout = () => ({
  paper_bgcolor: colour("surface"),
  plot_bgcolor: colour("surface"),
  font: { color: colour("ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
  separators: ".,",
  margin: { l: 70, r: 20, t: 20, b: 55 },
  hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("muted"), align: "left",
                font: { color: colour("ink") } },
  showlegend: false,
});

const axis = (title, more = {}) => ({
  title: { text: plain(title), standoff: 12 },
  gridcolor: colour("grid"),
  linecolor: colour("line"),
  zeroline: false,
  exponentformat: "none",
  separatethousands: true,
  automargin: true,
  ...more,
});

/** Draw into the element with this id, or write there why there is nothing to draw. */
function draw(id, missing, traces, layout) {
  const plot = document.getElementById(id);
  if (missing) {
    plot.replaceChildren(element("p", { class: "empty" }, missing));
    return null;
  }
  const buttons = traces[0].type === "scatter" ? BUTTONS : [["toImage"]];
  Plotly.react(plot, traces, { ...baseLayout(), ...layout }, { ...CONFIG, modeBarButtons: buttons });
  return plot;
}
