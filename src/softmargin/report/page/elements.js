// Elements, numbers and colours of a page, shared by the report and the pages to learn from.
const SVG = "http://www.w3.org/2000/svg";
const LOSS_NAMES = { hinge: "Hinge", squared_hinge: "Squared hinge", cross_entropy: "Cross-entropy" };
const lossName = (name) => (LOSS_NAMES[name] ? tr(LOSS_NAMES[name]) : name);

// A text in the language of the page: WORDS maps the English text, with {0}, {1}, … for values that are inserted.
// `tr` returns a string; `parts` a list, for values that are elements.
const tr = (text, ...values) => parts(text, ...values).join("");
const parts = (text, ...values) => (WORDS[text] ?? text).split(/\{(\d)\}/).map((part, k) => (k % 2 ? values[part] : part));

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

// -- pieces of a page -------------------------------------------------------------------------------------

const facts = (rows) => h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, value))));
const note = (...children) => h("p", { class: "note" }, ...children);
const unseen = (...children) => h("span", { class: "unseen" }, ...children); // for screen readers
const onScreen = (...children) => h("span", { class: "on-screen" }, ...children); // not printed

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
  h("details", { class: "numbers" }, h("summary", {}, tr("Table of values")), table(headings, rows, options));

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
// A button that repeats a step until it is pressed again or stopped; `told` changes too fast to be read aloud meanwhile.
function repeater(step, milliseconds, told) {
  const pause = matchMedia("(prefers-reduced-motion: reduce)").matches ? 400 : milliseconds;
  let timer = 0;
  const node = button(tr("Run"), () => (timer ? stop() : set(setInterval(step, pause))));
  function stop() { clearInterval(timer); set(0); }
  function set(next) {
    timer = next;
    node.textContent = timer ? tr("Pause") : tr("Run");
    told.setAttribute("aria-live", timer ? "off" : "polite");
  }
  return Object.assign(node, { stop });
}
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
