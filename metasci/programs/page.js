// Calibrates here, in the browser: the program and its runtime are beside this page, and nothing is sent anywhere.
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
ort.env.wasm.numThreads = 1;

const Z90 = 1.6448536269514722;
const ARRIVED = 1e-6; // of the last step, in posterior standard deviations
const CALLS = 20;
const told = await (await fetch("./calibrator.json")).json();
const session = await ort.InferenceSession.create("./calibrator.onnx", { executionProviders: ["wasm"] });
const by = (id) => document.getElementById(id);
const worded = (name) => name.replaceAll("_", " ");
const unitOf = (each) => (each.unit === "1" ? "" : ` [${each.unit}]`);

function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function field(name, label) {
  const made = document.createElement("input");
  made.name = name;
  made.inputMode = "decimal";
  made.setAttribute("aria-label", label);
  return made;
}

function build() {
  by("title").textContent = `Calibrate: ${worded(told.prior)}`;
  by("what").textContent = told.description;
  by("foot").textContent = `${told.limits} Learned from: ${told.source}.`;
  for (const each of told.covariates) {
    const label = document.createElement("label");
    label.append(worded(each.name) + unitOf(each) + " ", field(each.name, worded(each.name)));
    by("covariates").append(label);
  }
  const columns = [...told.inputs, told.output];
  const head = document.createElement("tr");
  head.append(...columns.map((each) => cell("th", worded(each.name) + unitOf(each))));
  by("head").append(head);
  for (let row = 0; row < Math.min(told.sizes.readings, 6); row++) {
    const line = document.createElement("tr");
    for (const each of columns) {
      const place = document.createElement("td");
      place.append(field(`${each.name}.${row}`, `${worded(each.name)}, row ${row + 1}`));
      line.append(place);
    }
    by("rows").append(line);
  }
}

function number(text, where) {
  const value = Number(text.trim().replace(",", "."));
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error(`${where}: '${text}' is no number.`);
  return value;
}

function read() {
  const form = new FormData(by("form"));
  const rows = [];
  for (let row = 0; form.has(`${told.output.name}.${row}`); row++) {
    const texts = [...told.inputs, told.output].map((each) => form.get(`${each.name}.${row}`));
    if (texts.every((text) => text.trim() === "")) continue;
    rows.push(texts.map((text, at) => number(text, `row ${row + 1}, ${worded([...told.inputs, told.output][at].name)}`)));
  }
  if (!rows.length) throw new Error("give at least one measurement.");
  const covariates = told.covariates.map((each) => {
    const text = form.get(each.name);
    return text.trim() === "" ? NaN : number(text, worded(each.name));
  });
  return { rows, covariates };
}

function given({ rows, covariates }) {
  const { readings, queries } = told.sizes;
  const doubles = (values) => new ort.Tensor("float64", Float64Array.from(values), [values.length]);
  const padded = (values) => Array.from({ length: readings }, (_, at) => values[Math.min(at, values.length - 1)]);
  const output = told.inputs.length;
  const feeds = {
    start: doubles(told.parameters.map(() => NaN)),
    output: doubles(padded(rows.map((row) => row[output]))),
    mask: new ort.Tensor("bool", Uint8Array.from({ length: readings }, (_, at) => Number(at < rows.length)), [readings]),
    covariates: doubles(covariates),
  };
  const along = rows.map((row) => row[0]);
  const end = Math.max(...along, told.range[1]), begin = Math.min(...along, told.range[0]);
  const grid = Array.from({ length: queries }, (_, at) => begin + ((end - begin) * at) / (queries - 1));
  told.inputs.forEach((each, at) => {
    feeds[each.name] = doubles(padded(rows.map((row) => row[at])));
    feeds[`query_${each.name}`] = doubles(at === 0 ? grid : grid.map(() => rows.at(-1)[at]));
  });
  return { feeds, grid };
}

async function calibrated(feeds) {
  let results;
  for (let call = 0; call < CALLS; call++) {
    results = await session.run(feeds);
    if (!(results.last_step.data[0] >= ARRIVED)) break;
    feeds = { ...feeds, start: results.coordinates };
  }
  return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, Array.from(tensor.data)]));
}

function show(results) {
  const head = document.createElement("tr");
  head.append(...["parameter", "estimate", "90 % interval"].map((text) => cell("th", text)));
  const lines = told.parameters.map((each, at) => {
    const line = document.createElement("tr");
    line.dataset.name = each.name;
    line.dataset.estimate = results.estimate[at];
    const digits = (value) => Number(value.toPrecision(4)).toString();
    line.append(
      cell("td", worded(each.name) + unitOf(each)),
      cell("td", digits(results.estimate[at])),
      cell("td", `${digits(results.lower[at])} to ${digits(results.upper[at])}`),
    );
    return line;
  });
  by("parameters").replaceChildren(head, ...lines);
}

function draw(results, grid, rows) {
  const lower = results.prediction.map((value, at) => value - Z90 * results.curve_sd[at]);
  const upper = results.prediction.map((value, at) => value + Z90 * results.curve_sd[at]);
  const output = told.inputs.length;
  const most = Math.max(...upper, ...rows.map((row) => row[output]));
  const x = (value) => 40 + (590 * (value - grid[0])) / (grid.at(-1) - grid[0] || 1);
  const y = (value) => 250 - (240 * Math.max(value, 0)) / (most || 1);
  const path = (values) => values.map((value, at) => `${x(grid[at]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const make = (kind, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const label = (text, at) => Object.assign(make("text", { ...at, fill: "currentColor", "font-size": 12 }), { textContent: text });
  const band = `${path(lower)} ${path(upper).split(" ").reverse().join(" ")}`;
  by("curve").replaceChildren(
    make("polygon", { points: band, fill: "#4477aa", opacity: 0.3 }),
    make("polyline", { points: path(results.prediction), fill: "none", stroke: "#4477aa", "stroke-width": 2 }),
    make("polyline", { points: "40,10 40,250 630,250", fill: "none", stroke: "currentColor" }),
    ...rows.map((row) => make("circle", { cx: x(row[0]), cy: y(row[output]), r: 4, fill: "currentColor" })),
    label(`${worded(told.inputs[0].name)}${unitOf(told.inputs[0])}, to ${grid.at(-1)}`, { x: 430, y: 270 }),
    label(`${worded(told.output.name)}${unitOf(told.output)}, to ${most.toPrecision(3)}`, { x: 45, y: 12 }),
  );
}

by("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = by("said");
  try {
    const measured = read();
    const { feeds, grid } = given(measured);
    const began = performance.now();
    const results = await calibrated(feeds);
    const took = performance.now() - began;
    show(results);
    draw(results, grid, measured.rows);
    const far = results.misfit[0] > 6 ? " The readings miss the curve by far more than their noise." : "";
    said.className = "";
    said.textContent = `Calibrated in ${took.toFixed(1)} ms, on this machine.${far}`;
  } catch (error) {
    said.className = "wrong";
    said.textContent = error.message;
  }
});

build();
document.body.dataset.ready = "yes";
