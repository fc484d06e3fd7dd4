// Page 8: mini-batch SGD on the digits above the certified lower bound, and the stored runs on CIFAR-10.

// Random numbers from 0 to 1 that a seed determines (a 32-bit generator of Weyl steps and mixing).
function seeded(seed) {
  let state = (seed + 1) * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
function shuffle(n, random) {
  const order = [...Array(n).keys()];
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

widget("sgd", (options, data) => {
  const pictures = data["digits-pictures"], { paths, n_samples: N } = data["digits-optima"];
  const D = pictures.n_features, C = 10, BATCHES = [1, 4, 16, 64, 256, N], ZERO = 97;
  const read = ({ pixels, labels }) => ({
    X: [...labels].map((_, i) => [...Array(D).keys()].map((d) => (pixels.charCodeAt(i * D + d) - ZERO) / pictures.unit)),
    y: [...labels].map(Number) });
  const training = read(pictures.training), test = read(pictures.test);
  const regs = paths.hinge.map((notch) => notch.reg), last = regs.length - 1;
  const state = { loss: 2, at: 12, rate: -1, batch: 3, decay: 1, seed: 0 };
  let W, b, random, F, before = [];
  const notch = () => paths[LAB_NAMES[state.loss]][state.at];
  const objective = (X, y) => objectiveAt(LAB_NAMES[state.loss], 1, X, y, W, b, notch().reg);
  const accuracy = (rows, y) => rows.filter(({ scores }, i) => scores.indexOf(Math.max(...scores)) === y[i]).length / y.length;
  const values = h("div", { "aria-live": "polite" }), charts = h("div", { class: "columns" });
  const gapOf = (value) => (value - notch().lower_bound) / value;
  const diverged = () => !(F[F.length - 1] <= 100 * F[0]);
  function reset(keep) {
    runButton.stop();
    before = keep && F && F.length > 1 ? F : [];
    W = [...Array(D)].map(() => Array(C).fill(0));
    b = Array(C).fill(0);
    random = seeded(state.seed);
    F = [objective(training.X, training.y).value];
    draw();
  }
  function epoch() {
    if (diverged()) { runButton.stop(); return; }
    const order = shuffle(N, random), size = BATCHES[state.batch], step = 10 ** state.rate * state.decay ** (F.length - 1);
    for (let k = 0; k < N; k += size) {
      const rows = order.slice(k, k + size);
      const { dW, db } = objective(rows.map((i) => training.X[i]), rows.map((i) => training.y[i]));
      W.forEach((row, d) => row.forEach((_, c) => { row[c] -= step * dW[d][c]; }));
      db.forEach((slope, c) => { b[c] -= step * slope; });
    }
    F.push(objective(training.X, training.y).value);
    if (F.length > 300) runButton.stop();
    draw();
  }
  function draw() {
    const now = objective(training.X, training.y), best = notch();
    values.replaceChildren(facts([
      [tr("Epochs"), shown("sgd-epochs", F.length - 1)],
      [tr("F of SGD"), shown("sgd-value", now.value, short, 5)],
      [tr("Lower bound (certified)"), shown("sgd-bound", best.lower_bound, short, 5)],
      [tr("Relative gap"), shown("sgd-gap", gapOf(now.value), percent, 2)],
      [tr("Training accuracy"), shown("sgd-accuracy", accuracy(now.rows, training.y), percent)],
      [tr("Test accuracy"), shown("sgd-test", accuracy(objective(test.X, test.y).rows, test.y), percent)],
      [tr("Test accuracy of the optimum"), shown("sgd-best", best.test_accuracy, percent)],
    ]), diverged() ? note(h("span", { class: "wrong" }, tr("SGD diverged: take a smaller learning rate and start again."))) : "");
    const length = Math.max(10, F.length - 1, before.length - 1);
    const line = (name, color, list, dash) => ({ name, color, dash, x: [...list.keys()], y: list.map((v) => (v <= 100 * F[0] ? v : null)) });
    const bound = { name: tr("lower bound"), color: "--c3", x: [0, length], y: [best.lower_bound, best.lower_bound] };
    const gaps = (list) => list.map(gapOf);
    refill(charts,
      lineChart({ title: tr("F after each epoch"), xLabel: tr("epochs"), yLabel: "F", yLog: true, height: 250, xRange: [0, length],
        series: [line(tr("this run"), "--c1", F), ...(before.length ? [line(tr("previous run"), "--c2", before, true)] : []), bound] }),
      lineChart({ title: tr("Relative gap after each epoch"), xLabel: tr("epochs"), yLabel: tr("gap"), yLog: true, height: 250, xRange: [0, length], yFormat: percent,
        series: [line(tr("this run"), "--c1", gaps(F)), ...(before.length ? [line(tr("previous run"), "--c2", gaps(before), true)] : [])] }));
  }
  const runButton = repeater(epoch, 80, values);
  // Another objective has another bound, so its previous run is not drawn.
  const change = (key, keep) => (value) => { state[key] = value; reset(keep); };
  const controls = [
    slider(tr("Learning rate"), { min: -4, max: 1, step: 0.25, value: state.rate, format: (x) => short(10 ** x, 2) }, change("rate", true)),
    slider(tr("Batch size"), { min: 0, max: BATCHES.length - 1, step: 1, value: state.batch, format: (k) => whole(BATCHES[k]) }, change("batch", true)),
    slider(tr("Factor of the learning rate per epoch"), { min: 0.5, max: 1, step: 0.05, value: 1, format: (x) => fixed(x, 2) }, change("decay", true)),
    slider(tr("Seed"), { min: 0, max: 9, step: 1, value: 0 }, change("seed", true)),
    slider("λ", { min: 0, max: last, step: 1, value: last - state.at, format: (k) => short(regs[last - k], 3) }, (k) => change("at", false)(last - k)),
  ];
  reset(false);
  epoch();
  epoch();
  const part = h("div", { class: "lab" }, tabs(tr("Loss"), LAB_NAMES.map(lossName), change("loss", false), state.loss),
    h("div", { class: "controls" }, controls),
    h("div", { class: "controls" }, button(tr("One epoch"), epoch), runButton, button(tr("Start again"), () => reset(true))), values, charts);
  return Object.assign(part, { weights: () => ({ W, b }) });
});

widget("sgd-photos", (options, data) => {
  const { optima, runs } = data["cifar10-sgd"];
  const state = { loss: 0, features: 0 };
  const place = h("div"), FEATURES = ["pixels", "centered"];
  function draw() {
    const best = optima[state.loss];
    const own = runs.filter((run) => run.loss === best.loss && run.features === FEATURES[state.features]);
    const name = (run) => tr("rate {0}, {1} epochs", short(run.rate, 2), run.epochs);
    const gaps = (run) => run.values.map((value) => (value - best.lower_bound) / value);
    const row = (label, value, gap, accuracy) => [label, value, gap, accuracy];
    refill(place,
      lineChart({ title: tr("Relative gap after each epoch"), xLabel: tr("epochs"), yLabel: tr("gap"), yLog: true, height: 260, yFormat: percent,
        series: own.map((run, k) => ({ name: name(run), color: COLORS_OF_RUNS[k], dash: k > 3, x: run.values.map((_, i) => i + 1), y: gaps(run) })) }),
      table([tr("weights"), "F", tr("relative gap"), tr("test accuracy")], [
        row(tr("certified optimum"), shown("photos-best", best.value, short, 5), shown("photos-best-gap", best.gap, percent, 3), shown("photos-best-accuracy", best.test_accuracy, fixed, 4)),
        ...own.map((run, k) => row(name(run), shown(`photos-value-${k}`, run.values.at(-1), short, 5), shown(`photos-gap-${k}`, gaps(run).at(-1), percent), shown(`photos-accuracy-${k}`, run.test_accuracies.at(-1), fixed, 4))),
      ], { caption: tr("{0}, λ = {1}", lossName(best.loss), short(best.reg, 3)) }));
  }
  const COLORS_OF_RUNS = ["--c1", "--c2", "--c3", "--c4", "--c1"];
  draw();
  return h("div", {},
    h("div", { class: "controls" }, tabs(tr("Loss"), optima.map(({ loss }) => lossName(loss)), (i) => { state.loss = i; draw(); }),
      tabs(tr("Features"), [tr("Pixels from 0 to 1"), tr("Average picture subtracted")], (i) => { state.features = i; draw(); })), place);
});
