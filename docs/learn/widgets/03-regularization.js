// Page 3: the penalty of weights with one score, the optimum as λ moves, and penalties that are added more than once.
const byteWeights = (base64, scale) => Float32Array.from(atob(base64), (letter) => (((letter.charCodeAt(0) + 128) & 255) - 128) * (scale / 127));

// Replaces what a place holds; charts that are gone need not follow its width.
function refill(place, ...children) {
  place.querySelectorAll(".chart").forEach((old) => fits.delete(old));
  place.replaceChildren(...children.flat());
}

// The names of the photographs' classes, for readers of another language.
const PHOTO_CLASSES = {
  airplane: tr("airplane"), automobile: tr("automobile"), bird: tr("bird"), cat: tr("cat"), deer: tr("deer"),
  dog: tr("dog"), frog: tr("frog"), horse: tr("horse"), ship: tr("ship"), truck: tr("truck"),
};

widget("penalty", () => {
  const x = [1, 1, 1, 1], starts = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]];
  let w = [...starts[0]];
  const place = h("div", { "aria-live": "polite" });
  const sliders = w.map((_, k) => slider(`w${"₁₂₃₄"[k]}`, { min: -1, max: 2, step: 0.05, value: w[k], format: (v) => fixed(v) }, (v) => { w[k] = v; draw(); }));
  const set = (values) => { w = [...values]; sliders.forEach((one, k) => one.set(w[k])); draw(); };
  function draw() {
    const score = w.reduce((sum, v, k) => sum + v * x[k], 0), square = w.reduce((sum, v) => sum + v * v, 0);
    place.replaceChildren(facts([
      [tr("Score w·x"), shown("penalty-score", score)],
      [tr("Penalty Σw²"), shown("penalty-square", square)],
      [tr("Least penalty of this score"), shown("penalty-least", (score * score) / 4)],
    ]));
  }
  draw();
  return h("div", { class: "columns lab" },
    h("div", {}, h("div", { class: "controls" }, starts.map((each) => button(`(${each.map((v) => short(v)).join(", ")})`, () => set(each))),
      button(tr("Same score, equal weights"), () => set(w.map(() => w.reduce((a, b) => a + b, 0) / 4)))), sliders),
    h("div", {}, place, note(tr("x = (1, 1, 1, 1). Equal weights have the least penalty of all w with this score."))));
});

widget("lambda-path", (options, data) => {
  const record = Object.values(data)[0];
  const state = { loss: options.loss ?? 2, at: options.at ?? 9, same: 0 };
  const [height, width, channels] = record.shape;
  const pictures = h("div", { class: "pictures ten" }), values = h("div", { "aria-live": "polite" }), charts = h("div", { class: "columns" });
  const path = () => record.paths[LAB_NAMES[state.loss]];
  const regs = record.paths.hinge.map((each) => each.reg);
  const last = regs.length - 1; // the largest λ is the first, and on the right of the slider
  const move = slider("λ", { min: 0, max: last, step: 1, value: last - state.at, format: (k) => short(regs[last - k], 3) }, (k) => { state.at = last - k; draw(); });
  function draw() {
    const now = path()[state.at];
    const most = state.same ? Math.max(...path().map((each) => each.scale)) : now.scale;
    const weights = byteWeights(now.weights, now.scale), size = height * width * channels;
    pictures.replaceChildren(...record.classes.map((key) => PHOTO_CLASSES[key] ?? key).map((name, c) => h("figure", {},
      weightPicture(weights.subarray(c * size, (c + 1) * size), height, width, channels, most, tr("Weights of class {0}", name), 80), h("figcaption", {}, name))));
    values.replaceChildren(facts([
      ["λ", shown("path-lambda", now.reg, short, 3)],
      ["ΣW²", shown("path-square", now.square)],
      [tr("Data loss"), shown("path-loss", now.loss)],
      [tr("Penalty λΣW²"), shown("path-penalty", now.reg * now.square)],
      [tr("F, the sum"), shown("path-value", now.value, short, 6)],
      [tr("Lower bound (certified)"), shown("path-bound", now.lower_bound, short, 6)],
      [tr("Relative gap"), shown("path-gap", now.gap, short, 2)],
      [tr("Largest weight"), shown("path-scale", now.scale)],
      [tr("Training accuracy"), shown("path-accuracy", now.accuracy, percent)],
      [tr("Test accuracy"), shown("path-test-accuracy", now.test_accuracy, percent)],
      [tr("Test loss"), shown("path-test-loss", now.test_loss)],
    ]));
    const line = (name, key, color, dash) => ({ name, color, dash, x: regs, y: path().map((each) => each[key]) });
    const chartOf = (title, yLabel, series, yFormat) => lineChart({ title, series, xLabel: "λ", yLabel, xLog: true, yFormat, marks: [{ x: now.reg, text: "λ" }], height: 230 });
    refill(charts,
      chartOf(tr("Accuracy along λ"), tr("accuracy"), [line(tr("training"), "accuracy", "--c1"), line(tr("test"), "test_accuracy", "--c2", true)], percent),
      chartOf(tr("Loss along λ, without the penalty"), tr("loss"), [line(tr("training"), "loss", "--c1"), line(tr("test"), "test_loss", "--c2", true)], short));
  }
  draw();
  onTheme(draw);
  return h("div", {},
    tabs(tr("Loss"), LAB_NAMES.map(lossName), (i) => { state.loss = i; draw(); }, state.loss), move, pictures,
    tabs(tr("Contrast"), [tr("Contrast of this λ"), tr("Same contrast for all λ")], (i) => { state.same = i; draw(); }), values, charts);
});

// One weight and two classes with the scores wx and −wx, so ΣW² = 2w².
widget("penalty-once", () => {
  const START = { x: [1.2, 0.7, -0.4, -0.9, 0.3, -1.1], y: [0, 0, 0, 1, 1, 1] };
  const state = { copies: 1, reg: 0.1, form: 0 };
  const place = h("div", { "aria-live": "polite" }), picture = h("div");
  const loss = (w) => START.x.reduce((sum, x, i) => sum + Losses.cross_entropy([w * x, -w * x], START.y[i]).value, 0);
  function draw() {
    const n = START.x.length * state.copies;
    const data = (w) => (state.form === 1 ? state.copies * loss(w) : loss(w) / START.x.length);
    const factor = state.form === 2 ? n : 1;
    const penalty = (w) => factor * state.reg * 2 * w * w;
    const F = (w) => data(w) + penalty(w);
    // F is convex: a third of the interval without the minimum can go.
    let [low, high] = [-1, 30];
    for (let k = 0; k < 200; k++) {
      const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
      if (F(a) < F(b)) high = b;
      else low = a;
    }
    const best = (low + high) / 2;
    place.replaceChildren(facts([
      [tr("Samples N"), shown("once-n", n)],
      [tr("Optimum w"), shown("once-w", best)],
      [tr("Data term"), shown("once-data", data(best))],
      [tr("Penalty term"), shown("once-penalty", penalty(best))],
      [tr("The λ that it means"), shown("once-reg", state.form === 0 ? state.reg : state.form === 1 ? state.reg / n : state.reg * n)],
    ]));
    const ws = [...Array(61).keys()].map((k) => k / 15), top = 1.25 * Math.max(F(0), F(best));
    const line = (name, color, f, dash) => ({ name, color, dash, x: ws, y: ws.map((w) => (f(w) <= top ? f(w) : null)) });
    refill(picture, lineChart({ title: tr("The objective of one weight"), xLabel: "w", yLabel: tr("value"), height: 240,
      series: [line(tr("sum"), "--c1", F), line(tr("data term"), "--c2", data, true), line(tr("penalty term"), "--c3", penalty, true)],
      yRange: [0, top], marks: best <= 4 ? [{ x: best, y: F(best), color: "--c4" }] : [] }));
  }
  draw();
  const forms = [tr("mean of losses + λΣW²"), tr("sum of losses + λΣW²"), tr("mean of losses + λΣW² for each sample")];
  return h("div", { class: "columns lab" },
    h("div", {}, tabs(tr("Objective"), forms, (i) => { state.form = i; draw(); }),
      slider(tr("Copies of all six samples"), { min: 1, max: 10, step: 1, value: 1 }, (k) => { state.copies = k; draw(); }),
      slider("λ", { min: -3, max: 0, step: 0.1, value: -1, format: (v) => short(10 ** v, 3) }, (v) => { state.reg = 10 ** v; draw(); }),
      place),
    h("div", {}, picture));
});
