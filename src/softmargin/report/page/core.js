// What every panel uses. Text enters the page only as text nodes, since names are untrusted.
const R = JSON.parse(document.getElementById("record").textContent);
const SVG = "http://www.w3.org/2000/svg";
const LOSS_NAMES = { hinge: "Hinge", squared_hinge: "Squared hinge", cross_entropy: "Cross-entropy" };
const lossName = (name) => LOSS_NAMES[name] || name;

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("aria-")) { node.setAttribute(key, String(value)); continue; }
    if (value === false) continue;
    if (typeof value === "function") node.addEventListener(key, value);
    else if (key === "style") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}
const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

// -- numbers ----------------------------------------------------------------------------------------------

const MINUS = "\u2212";
const signed = (text) => text.replace(/-/g, MINUS);
const whole = (x) => signed(Math.round(x).toLocaleString("en-US"));
function short(x, digits = 4) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa, exponent] = x.toExponential(Math.max(0, digits - 2)).split("e");
    return signed(`${Number(mantissa)}e${Number(exponent)}`);
  }
  return signed(String(Number(x.toPrecision(digits))));
}
function fixed(x, digits = 2) {
  return x === null || x === undefined || !Number.isFinite(x) ? "–" : signed(x.toFixed(digits).replace(/^-(0\.?0*)$/, "$1"));
}
function percent(x, digits = 1) {
  if (x === null || x === undefined) return "–";
  let text = (100 * x).toFixed(digits);
  if (Number(text) === 100 && x < 1) text = "> " + (100 - 10 ** -digits).toFixed(digits);
  else if (Number(text) === 0 && x > 0) text = "< " + (10 ** -digits).toFixed(digits);
  return text + "\u00a0%";
}
// A time in ISO form as 2026-11-29 14:07 UTC; any other text unchanged.
function moment(text) {
  const time = new Date(text);
  if (!text || Number.isNaN(time.getTime())) return text;
  return time.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}
const at = (path) => path.split(".").reduce((value, key) => value[key], R);
// A number of the record: the text is rounded, the element carries the full value.
function num(path, format = short, ...options) {
  const value = at(path);
  return h("data", { value: value === null ? "" : String(value), "data-of": path }, format(value, ...options));
}

// -- pieces of a page -------------------------------------------------------------------------------------

const panels = [];
function panel(id, title, lead, ...children) {
  const section = h("section", { id, "aria-labelledby": id + "-title", class: "panel" },
    h("h2", { id: id + "-title" }, title), lead ? h("p", { class: "lead" }, lead) : null, ...children);
  panels.push({ id, title, section });
  document.getElementById("main").append(section);
  return section;
}
const facts = (rows) => h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, value))));
const note = (...children) => h("p", { class: "note" }, ...children);
const unseen = (...children) => h("span", { class: "unseen" }, ...children); // for screen readers
const onScreen = (...children) => h("span", { class: "on-screen" }, ...children); // not printed
const predictedAs = (name) => [h("span", { "aria-hidden": true }, "→\u00a0"), unseen("predicted as "), name];

// A part that may overflow: it then gets keyboard focus, for scrolling.
function scrolls(label, attributes, ...children) {
  const box = h("div", { role: "group", "aria-label": label, ...attributes }, ...children);
  new ResizeObserver(() => {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }).observe(box);
  return box;
}
// The first cell of a row is its name.
function table(headings, rows, { caption, left = 1, className = "" }) {
  const cell = (content, i, scope) => h(scope ? "th" : "td", { class: i < left ? null : "number", scope }, content);
  return scrolls(caption, { class: "scroll" },
    h("table", { class: className }, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, headings.map((name, i) => cell(name, i, "col")))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((content, i) => cell(content, i, i ? null : "row")))))));
}
const numbers = (headings, rows, options) =>
  h("details", { class: "numbers" }, h("summary", {}, "Table of values"), table(headings, rows, options));

function choice(label, options, change, chosen = 0) {
  const select = h("select", { change: () => change(Number(select.value)) },
    options.map((name, i) => h("option", { value: i, selected: i === chosen }, name)));
  return Object.assign(h("label", { class: "control" }, h("span", {}, label), select), { select });
}
function slider(label, { min, max, step, value, format = short }, change) {
  const shown = h("span", { class: "value", "aria-hidden": true });
  const input = h("input", { type: "range", min, max, step, value, input: () => { say(); change(Number(input.value)); } });
  const say = () => { shown.textContent = format(Number(input.value)); input.setAttribute("aria-valuetext", shown.textContent); };
  const set = (x) => { input.value = x; say(); };
  say();
  return Object.assign(h("label", { class: "control slider" }, h("span", {}, label, " ", shown), input), { input, set });
}
const button = (label, click, attributes = {}) => h("button", { type: "button", click, ...attributes }, label);
function tabs(label, names, change, chosen = 0) {
  const buttons = names.map((name, i) => button(name, () => pick(i), { "aria-pressed": i === chosen }));
  function pick(i) {
    buttons.forEach((b, k) => b.setAttribute("aria-pressed", k === i));
    change(i);
  }
  return Object.assign(h("div", { class: "tabs", role: "group", "aria-label": label }, buttons), { pick });
}

// Draws once the width is known, and again when it changes.
const fits = new Map();
function responsive(node, draw) {
  let width = 0;
  const fit = () => {
    const now = Math.floor(node.clientWidth);
    if (now > 0 && now !== width) { width = now; draw(width); }
  };
  fits.set(node, fit);
  new ResizeObserver(fit).observe(node);
  return { again: () => width && draw(width) };
}
const redraws = [];
function onTheme(draw) { redraws.push(draw); }
const seenStyles = new Map(), seenColors = new Map();
function css(name) {
  if (!seenStyles.has(name)) seenStyles.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return seenStyles.get(name);
}
function rgb(name) {
  if (!seenColors.has(name)) {
    const hex = css(name).replace("#", "");
    seenColors.set(name, [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  }
  return seenColors.get(name);
}
function themeChanged() {
  seenStyles.clear();
  seenColors.clear();
  redraws.forEach((draw) => draw());
}
// Print is always light and has another width; observers are not called before printing.
let place = 0;
function onPaper(paper) {
  if (paper) place = scrollY;
  document.documentElement.classList.toggle("paper", paper);
  document.querySelectorAll(".reproduce").forEach((part) => { part.open = paper; });
  for (const [node, fit] of fits) if (node.isConnected) fit(); else fits.delete(node);
  themeChanged();
  if (!paper) scrollTo({ top: place, behavior: "instant" });
}
const mix = (a, b, t) => a.map((x, k) => Math.round(x + (b[k] - x) * t));
// Black or white, whichever has more contrast: at least 4.58 to 1.
const inkOn = (color) => {
  const [r, g, b] = color.map((c) => (c <= 10 ? c / 3295 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
};
const paint = (c) => `rgb(${c[0]},${c[1]},${c[2]})`;

// A canvas of this size in CSS pixels, sharp on any screen.
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

// -- pictures ---------------------------------------------------------------------------------------------

const sheet = R.sheet ? new Image() : null;
function floats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}
function thumb(picture, label, size) {
  if (!sheet || picture === null) return null;
  const { height, width, columns } = R.sheet;
  const canvas = h("canvas", { class: "thumb", width, height, role: "img", "aria-label": label });
  const factor = (size || 64) / Math.max(width, height);
  canvas.style.width = width * factor + "px";
  canvas.style.height = height * factor + "px";
  canvas.getContext("2d").drawImage(sheet, (picture % columns) * width, Math.floor(picture / columns) * height,
    width, height, 0, 0, width, height);
  return canvas;
}
const className = (k) => R.classes[k];

function sampleCard(i, extra) {
  const sample = R.samples[i];
  const right = sample.label === sample.predicted;
  const result = right ? `${className(sample.label)}, correct` : `${className(sample.label)}, predicted as ${className(sample.predicted)}`;
  return button([
    thumb(sample.picture, sample.name),
    h("span", { class: "card-text" },
      sample.picture === null ? h("span", { class: "muted" }, sample.name) : null,
      h("b", {}, className(sample.label)),
      right ? null : h("span", { class: "wrong" }, predictedAs(className(sample.predicted))),
      extra === undefined ? h("span", { class: "muted" }, "loss ", short(sample.loss, 3)) : extra),
  ], () => openSample(i), { class: "sample", title: `${sample.name}: ${result}` });
}
// Details of a selection: screen readers announce only the title.
function detail() {
  const name = h("h3", { "aria-live": "polite" }), rest = h("div");
  const box = h("div", { class: "detail" });
  return Object.assign(box, { show: (title, ...children) => {
    name.textContent = title;
    rest.replaceChildren(...children);
    if (!name.isConnected) box.append(name, rest);
  } });
}
const cards = (list, extra) => h("div", { class: "cards" }, list.map((i, k) => sampleCard(i, extra ? extra(i, k) : undefined)));

let dialog = null;
function openSample(i) {
  if (!dialog) {
    dialog = h("dialog", { "aria-labelledby": "sample-title", click: (event) => { if (event.target === dialog) dialog.close(); } });
    document.body.append(dialog);
  }
  dialog.replaceChildren(h("form", { method: "dialog", class: "closer" }, h("button", { "aria-label": "Close" }, "×")),
    h("h3", { id: "sample-title" }, R.samples[i].name), writtenOut(i));
  dialog.showModal();
}

// The terms of the loss of a sample.
function writtenOut(i) {
  const sample = R.samples[i];
  const { loss, delta } = R.headline;
  const own = sample.terms.find((term) => term.label === sample.label);
  const ownAt = `samples.${i}.terms.${sample.terms.indexOf(own)}`;
  const soft = loss === "cross_entropy";
  const power = loss === "squared_hinge" ? "²" : "";
  const rows = sample.terms.map((term, k) => {
    const mine = term.label === sample.label;
    const name = h("span", { class: mine ? "true-class" : "" }, className(term.label), mine ? " (true)" : "",
      term.label === sample.predicted && !mine ? " (predicted)" : "");
    const score = num(`samples.${i}.terms.${k}.score`, fixed, 3);
    const value = num(`samples.${i}.terms.${k}.value`, soft ? percent : short, soft ? 2 : 4);
    if (soft) return [name, score, value];
    if (mine) return [name, score, "true class: no term", "–"];
    return [name, score, `max(0, ${fixed(term.score, 3)} ${own.score < 0 ? "+" : MINUS} ${fixed(Math.abs(own.score), 3)} + ${short(delta)})${power}`, value];
  });
  if (sample.n_rest) {
    const rest = num(`samples.${i}.rest`, soft ? percent : short, soft ? 2 : 4);
    const words = sample.n_rest === 1 ? "1 other class" : `${whole(sample.n_rest)} other classes together`;
    rows.push(soft ? [words, "", rest] : [words, "", "", rest]);
  }
  const lead = soft
    ? [`The loss is ${MINUS}ln of the probability of the true class: ${MINUS}ln `, num(`${ownAt}.value`, short), " = "]
    : ["The loss is the sum of the terms: "];
  const right = sample.label === sample.predicted;
  const why = right
    ? `The prediction is correct, with a margin of ${short(sample.margin)}.`
    : `The score of ${className(sample.predicted)} is ${short(-sample.margin)} higher than that of the true class, ${className(sample.label)}.`;
  // The largest term comes first: that of the rival class with the largest score.
  const first = sample.terms.find((term) => term !== own);
  const spread = !soft && first.value < sample.loss / 2 ? ` Several classes contribute to the loss: the largest term is ${percent(first.value / sample.loss, 0)} of it.` : "";
  return h("div", { class: "written" },
    h("div", { class: "written-head" }, thumb(sample.picture, sample.name, 112),
      h("div", {},
        h("p", {}, "True: ", h("b", {}, className(sample.label)), ". Predicted: ", h("b", { class: right ? "" : "wrong" }, className(sample.predicted)), "."),
        h("p", {}, lead, h("b", {}, num(`samples.${i}.loss`, short)), "."),
        h("p", {}, why, spread),
        h("p", { class: "muted small" }, `Row ${whole(sample.row)} of the data, counted from 0.`))),
    table(soft ? ["class", "score", "probability"] : ["class", "score sⱼ", "term", "value"], rows,
      { caption: "Terms of the loss, by score", left: 1, className: soft ? "" : "terms" }));
}
