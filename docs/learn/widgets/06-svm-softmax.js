widget("losses", () => scoresLab());

// The score of one rival moves; both losses and their slopes.
widget("one-score", () => {
  const state = { score: 9 };
  const NAMES = ["hinge", "cross_entropy"], COLOURS = ["--c1", "--c2"];
  const at = (name, score) => Losses[name]([10, score, -2], 0, 1);
  const grid = spaced(0, 20, 201), place = h("div");
  const move = slider(tr("Score of the rival"), { min: 0, max: 20, step: 0.1, value: 9, format: (x) => fixed(x, 1) }, (x) => { state.score = x; draw(); });
  const curve = (title, yLabel, yRange, get) => livePlot({ title, yLabel, yRange, xLabel: tr("score of the rival"), xRange: [0, 20], height: 220, pick: (x) => { move.set(x); state.score = Number(move.input.value); draw(); } }, () => ({
    words: NAMES.map((name) => `${lossName(name)}: ${short(get(at(name, state.score)))}`).join(", "),
    lines: NAMES.map((name, k) => ({ name: lossName(name), color: COLOURS[k], x: grid, y: grid.map((x) => get(at(name, x))) })),
    points: NAMES.map((name, k) => ({ x: state.score, y: get(at(name, state.score)), color: COLOURS[k] })),
    verticals: [{ x: 10, text: tr("true score") }] }));
  const plots = [curve(tr("Loss"), tr("loss"), [0, 11], (one) => one.value), curve(tr("Slope: the push on the rival"), tr("slope"), [0, 1.1], (one) => one.gradient[1])];
  function draw() {
    place.replaceChildren(table([tr("loss"), tr("value"), tr("slope")], NAMES.map((name) => { const one = at(name, state.score); return [lossName(name), shown(`value-${name}`, one.value), shown(`push-${name}`, one.gradient[1])]; }),
      { caption: tr("Scores 10 (true), {0} and −2", fixed(state.score, 1)) }));
    plots.forEach((plot) => plot.again());
  }
  draw();
  return h("div", { class: "lab" }, h("div", { class: "columns two" }, move, place), h("div", { class: "columns two" }, plots));
});

function digitPicture(pixels, label, size) {
  const canvas = h("canvas", { class: "thumb", width: 8, height: 8, role: "img", "aria-label": label, style: { width: size + "px", height: size + "px" } });
  const context = canvas.getContext("2d");
  pixels.forEach((v, p) => { context.fillStyle = paint(mix([255, 255, 255], [18, 22, 28], v / 16)); context.fillRect(p % 8, Math.floor(p / 8), 1, 1); });
  return canvas;
}
// The test digits on which two classifiers disagree.
widget("disagree", (options, { digits }) => {
  const place = h("div");
  const list = digits.disagree;
  const scores = (fit, pixels) => fit.b.map((bias, c) => pixels.reduce((sum, v, p) => sum + (v / 16) * fit.W[p][c], bias));
  function draw(i) {
    const { pixels, label } = list[i];
    const hinge = scores(digits.hinge, pixels), soft = Losses.cross_entropy(scores(digits.cross_entropy, pixels), label).terms;
    const range = Math.max(...hinge.map(Math.abs));
    place.replaceChildren(h("div", { class: "columns lab beside slim" }, h("div", {}, digitPicture(pixels, tr("Test digit {0}", label), 160), note(tr("Labelled {0}. SVM: {1}. Softmax: {2}.", label, list[i].hinge, list[i].softmax))),
      table([tr("class"), "", tr("SVM score"), "", tr("probability")], hinge.map((score, c) => [c === label ? tr("{0} (true)", c) : String(c),
        barTrack(score, -range, range, c === list[i].hinge ? "--c2" : "--c1"), shown(`hinge-${c}`, score, fixed), barTrack(soft[c], 0, 1, c === list[i].softmax ? "--c2" : "--c1"), shown(`softmax-${c}`, soft[c], fixed, 3)]),
        { caption: tr("Scores of the SVM, probabilities of softmax; each answer in orange"), className: "both" })));
  }
  const which = tabs(tr("Digit"), list.map((one, i) => tr("{0}: a {1}", i + 1, one.label)), draw);
  draw(0);
  return h("div", {}, which, place);
});

// McNemar's test: the mid-p value from the exact binomial distribution.
function mcnemar(first, second) {
  const n = first + second, least = Math.min(first, second);
  if (first === second) return 1;
  let term = 0.5 ** n, tail = term;
  for (let k = 1; k <= least; k++) { term *= (n - k + 1) / k; tail += term; }
  return Math.min(1, 2 * tail - term);
}
widget("mcnemar", (options) => {
  const state = { first: options.first, second: options.second };
  const place = h("p", { class: "lab-sum", "aria-live": "polite" }), bars = h("div");
  const count = (key, label) => slider(label, { min: 0, max: 60, step: 1, value: state[key], format: (x) => fixed(x, 0) }, (x) => { state[key] = x; draw(); });
  const names = [tr("Only the SVM is correct"), tr("Only softmax is correct")];
  function draw() {
    const p = mcnemar(state.first, state.second), top = Math.max(10, state.first, state.second);
    bars.replaceChildren(table([tr("pictures"), "", tr("number")], [state.first, state.second].map((n, k) => [names[k], barTrack(n, 0, top, COLOURS_OF_TWO[k]), String(n)]), { caption: tr("Pictures on which exactly one is correct"), left: 2, className: "counts" }));
    place.replaceChildren(...parts("p = {0}: {1}", shown("p", p), p < 0.05 ? tr("significantly different at the 5 % level.") : tr("not significantly different.")));
  }
  draw();
  return h("div", { class: "columns lab two" }, h("div", {}, count("first", names[0])), h("div", {}, count("second", names[1])), h("div", { class: "whole" }, bars, place));
});
const COLOURS_OF_TWO = ["--c1", "--c2"];
