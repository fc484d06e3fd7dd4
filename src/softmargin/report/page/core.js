// What every panel uses. Text enters the page only as text nodes, since names are untrusted.
const R = JSON.parse(document.getElementById("record").textContent);
const WORDS = R.words || {};
const at = (path) => path.split(".").reduce((value, key) => value[key], R);
const trs = (...texts) => texts.map((text) => tr(text));
// The sentences of the record in the language of the page, by their place in it; names and numbers are not among them.
for (const [path, text] of Object.entries(R.texts || {})) {
  const keys = path.split("."), last = keys.pop();
  keys.reduce((value, key) => value[key], R)[last] = text;
}
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
const predictedAs = (name) => [h("span", { "aria-hidden": true }, "→\u00a0"), unseen(tr("predicted as ")), name];

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
// -- pictures ---------------------------------------------------------------------------------------------

const sheet = R.sheet ? new Image() : null;
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
  const result = right ? tr("{0}, correct", className(sample.label)) : tr("{0}, predicted as {1}", className(sample.label), className(sample.predicted));
  return button([
    thumb(sample.picture, sample.name),
    h("span", { class: "card-text" },
      sample.picture === null ? h("span", { class: "muted" }, sample.name) : null,
      h("b", {}, className(sample.label)),
      right ? null : h("span", { class: "wrong" }, predictedAs(className(sample.predicted))),
      extra === undefined ? h("span", { class: "muted" }, tr("loss {0}", short(sample.loss, 3))) : extra),
  ], () => openSample(i), { class: "sample", title: tr("{0}: {1}", sample.name, result) });
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
  dialog.replaceChildren(h("form", { method: "dialog", class: "closer" }, h("button", { "aria-label": tr("Close") }, "×")),
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
    const name = h("span", { class: mine ? "true-class" : "" }, className(term.label), mine ? tr(" (true)") : "",
      term.label === sample.predicted && !mine ? tr(" (predicted)") : "");
    const score = num(`samples.${i}.terms.${k}.score`, fixed, 3);
    const value = num(`samples.${i}.terms.${k}.value`, soft ? percent : short, soft ? 2 : 4);
    if (soft) return [name, score, value];
    if (mine) return [name, score, tr("true class: no term"), "–"];
    return [name, score, `max(0, ${fixed(term.score, 3)} ${own.score < 0 ? "+" : MINUS} ${fixed(Math.abs(own.score), 3)} + ${short(delta)})${power}`, value];
  });
  if (sample.n_rest) {
    const rest = num(`samples.${i}.rest`, soft ? percent : short, soft ? 2 : 4);
    const words = sample.n_rest === 1 ? tr("1 other class") : tr("{0} other classes together", whole(sample.n_rest));
    rows.push(soft ? [words, "", rest] : [words, "", "", rest]);
  }
  const loss_ = h("b", {}, num(`samples.${i}.loss`, short));
  const lead = soft
    ? parts("The loss is −ln of the probability of the true class: −ln {0} = {1}.", num(`${ownAt}.value`, short), loss_)
    : parts("The loss is the sum of the terms: {0}.", loss_);
  const right = sample.label === sample.predicted;
  const why = right
    ? tr("The prediction is correct, with a margin of {0}.", short(sample.margin))
    : tr("The score of {0} is {1} higher than that of the true class, {2}.", className(sample.predicted), short(-sample.margin), className(sample.label));
  // The largest term comes first: that of the rival class with the largest score.
  const first = sample.terms.find((term) => term !== own);
  const spread = !soft && first.value < sample.loss / 2 ? tr(" Several classes contribute to the loss: the largest term is {0} of it.", percent(first.value / sample.loss, 0)) : "";
  return h("div", { class: "written" },
    h("div", { class: "written-head" }, thumb(sample.picture, sample.name, 112),
      h("div", {},
        h("p", {}, parts("True: {0}. Predicted: {1}.", h("b", {}, className(sample.label)), h("b", { class: right ? "" : "wrong" }, className(sample.predicted)))),
        h("p", {}, lead),
        h("p", {}, why, spread),
        h("p", { class: "muted small" }, tr("Row {0} of the data, counted from 0.", whole(sample.row))))),
    table(soft ? trs("class", "score", "probability") : trs("class", "score sⱼ", "term", "value"), rows,
      { caption: tr("Terms of the loss, by score"), left: 1, className: soft ? "" : "terms" }));
}
