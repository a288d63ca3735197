// The study, the format of its values, and the construction of elements.
"use strict";

const study = JSON.parse(document.getElementById("study").textContent);
for (const point of study.points) { // a failed one may have neither
  point.values ??= {};
  point.choices ??= {};
}
const objectives = study.objectives;
const complete = study.points.filter((point) => point.state === "complete");
const front = complete.filter((point) => point.front);

const MISSING = "\u2013";
const SPACE = "\u00a0"; // between a value and its unit: no line breaks here
const known = (value) => value !== null && value !== undefined;

/** Make an element. Strings among the children become text, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Text for Plotly, which reads some tags and entities in titles, labels and hover texts. */
const plain = (text) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A number with thousands separators and about four significant digits. */
function written(value) {
  if (!known(value)) return MISSING;
  const rounded = Number.isInteger(value) || Math.abs(value) >= 1000;
  return value.toLocaleString(
    "en-US", rounded ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 });
}

const percentage = (share, digits = 2) =>
  known(share) ? `${(100 * share).toFixed(digits)}${SPACE}%` : MISSING;

function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? "0" : (value < 0 ? "\u2212" : "+") + digits;
}

/** Shares are stored as 0..1 and shown in percent. */
const scale = (objective) => objective.unit === "%" ? 100 : 1;
const valueOf = (point, objective) => {
  const value = point.values[objective.name];
  return known(value) ? scale(objective) * value : null;
};

/** A value of an objective, with its unit. */
function measured(objective, value) {
  if (objective.unit === "%") return percentage(value);
  return written(value) + (known(value) && objective.unit ? SPACE + objective.unit : "");
}

const titled = (objective) => objective.label + (objective.unit ? ` (${objective.unit})` : "");
const maximized = (objective) => objective.direction === "maximize";
const limitOf = (objective) =>
  `${maximized(objective) ? "\u2265" : "\u2264"}${SPACE}${measured(objective, objective.limit)}`;
const misses = (objective, value) => known(objective.limit) && known(value) &&
  (maximized(objective) ? value < objective.limit : value > objective.limit);

/** Points, the best in the first objective first. */
const bestFirst = (points) => [...points].sort((a, b) => (maximized(objectives[0]) ? -1 : 1) *
  (valueOf(a, objectives[0]) - valueOf(b, objectives[0])));

function duration(seconds) {
  if (!known(seconds)) return MISSING;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours) return `${written(hours)} h ${minutes} min`.replaceAll(" ", SPACE);
  return (minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`).replaceAll(" ", SPACE);
}
