// Interactive losses: three scores on sliders, and a linear classifier of points in a plane.
const LAB_NAMES = Object.keys(LOSS_NAMES);

function scoresLab() {
  const state = { scores: [10, -2, 3], y: 0, delta: 1, loss: 0 };
  const place = h("div", { id: "lab-scores" }), spoken = h("p", { class: "unseen", "aria-live": "polite" });
  const sliders = [0, 1, 2].map((k) => slider(tr("Score s{0}", "₀₁₂"[k]), { min: -100, max: 20, step: 0.5, value: state.scores[k], format: (x) => fixed(x, 1) }, (x) => { state.scores[k] = x; draw(); }));
  const truth = choice(tr("True class"), ["0", "1", "2"], (i) => { state.y = i; draw(); });
  const delta = slider("Δ", { min: 0.5, max: 20, step: 0.5, value: 1, format: (x) => fixed(x, 1) }, (x) => { state.delta = x; draw(); });
  const start = (scores) => button(`[${scores.map((x) => fixed(x, 0)).join(", ")}]`, () => {
    state.scores = [...scores];
    sliders.forEach((one, k) => one.set(scores[k]));
    draw();
  });
  const which = tabs(tr("Loss"), LAB_NAMES.map(lossName), (i) => { state.loss = i; draw(); });
  function draw() {
    const { scores, y, delta: d } = state;
    const name = LAB_NAMES[state.loss];
    const soft = name === "cross_entropy";
    const { terms, value, gradient } = Losses[name](scores, y, d);
    const power = name === "squared_hinge" ? "²" : "";
    const rows = scores.map((score, j) => [j === y ? tr("{0} (true)", j) : String(j), fixed(score, 1),
      soft ? tr("e^{0} of the sum", fixed(score, 1)) : j === y ? tr("no term") : `max(0, ${fixed(score, 1)} ${scores[y] < 0 ? "+" : MINUS} ${fixed(Math.abs(scores[y]), 1)} + ${fixed(d, 1)})${power}`,
      h("data", { value: terms[j], class: "lab-term" }, j === y && !soft ? "–" : short(terms[j])), h("data", { value: gradient[j], class: "lab-gradient" }, short(gradient[j]))]);
    const total = tr("{0}: {1}", lossName(name), short(value));
    spoken.textContent = total;
    const all = LAB_NAMES.map((each) => h("div", { class: each === name ? "lab-loss chosen" : "lab-loss" }, h("span", {}, lossName(each)), h("data", { value: Losses[each](scores, y, d).value, class: "lab-value", "data-loss": each }, short(Losses[each](scores, y, d).value))));
    place.replaceChildren(h("div", { class: "lab-losses" }, all),
      table([tr("class"), tr("score"), soft ? tr("weight") : tr("term"), soft ? tr("probability") : tr("value"), tr("gradient dL/ds")], rows, { caption: total, left: 1, className: soft ? "" : "terms" }),
      note(soft ? tr("Cross-entropy is always positive; it decreases as the margin grows.") : tr("If every margin is at least Δ, the loss and its gradient are 0.")));
  }
  draw();
  return h("div", { class: "columns lab" }, h("div", {}, h("div", { class: "controls" }, h("span", { class: "muted" }, tr("Examples")), start([10, -2, 3]), start([10, 9, 9]), start([10, -100, -100])),
    sliders, h("div", { class: "controls" }, truth), delta), h("div", {}, which, place, spoken));
}

const MOST_WEIGHT = 1e4; // beyond, steps that are too long would soon overflow

function planeLab() {
  const START = {
    X: [[0.5, 0.4], [0.8, 0.3], [0.3, 0.8], [-0.4, 0.3], [-0.3, 0.7], [-0.7, 0.2], [0.7, -0.4], [0.5, -0.6], [-0.4, -0.5]],
    y: [0, 0, 0, 1, 1, 1, 2, 2, 2], W: [[2.06, 0.44, 2.27], [1.48, -1.82, -2.04]], b: [-0.42, 0.52, -0.1] };
  const copy = () => JSON.parse(JSON.stringify(START));
  let { X, y, W, b } = copy();
  const state = { loss: 0, delta: 1, reg: 0.1, step: 0.1, chosen: 0 };
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": tr("plane"), "aria-label": tr("Nine points of three classes; the background shows the predicted class. N selects the next point, the arrow keys move it.") });
  const box = h("div", { class: "chart" }, canvas);
  const sums = h("p", { class: "lab-sum", "aria-live": "polite", id: "lab-plane" });
  const points = h("div"), chosen = readings();
  const field = (get, set, label) => {
    const input = h("input", { type: "number", step: "0.01", value: fixed(get(), 2).replace(MINUS, "-"), "aria-label": label, change: () => { const x = Math.max(-MOST_WEIGHT, Math.min(MOST_WEIGHT, Number(input.value))); input.value = x.toFixed(2); set(x); update(); } });
    return Object.assign(input, { refresh: () => { if (document.activeElement !== input) input.value = get().toFixed(2); } });
  };
  const fields = [0, 1, 2].map((c) => [field(() => W[0][c], (x) => { W[0][c] = x; }, tr("weight of x for class {0}", c)), field(() => W[1][c], (x) => { W[1][c] = x; }, tr("weight of y for class {0}", c)), field(() => b[c], (x) => { b[c] = x; }, tr("intercept of class {0}", c))]);
  const slopes = [0, 1, 2].map(() => [0, 1, 2].map(() => h("data", { class: "slope" })));
  const COLOURS = ["--c1", "--c2", "--c3"];
  const weights = table([tr("class"), tr("w for x"), tr("w for y"), tr("intercept")], fields.map((row, c) => [h("span", {}, h("span", { class: "key", style: { "--key": `var(${COLOURS[c]})` } }), ` ${c}`), ...row.map((input, k) => h("span", { class: "field" }, input, slopes[c][k]))]), { caption: tr("Weights, each with its partial derivative of the objective") });
  const now = () => objectiveAt(LAB_NAMES[state.loss], state.delta, X, y, W, b, state.reg);
  let side = 0;
  const drawing = responsive(box, (width) => { side = Math.min(width, 460); paintPlane(); });
  onTheme(() => side && paintPlane());
  const px = (v) => ((v + 1) / 2) * side, back = (p) => (p / side) * 2 - 1;
  function paintPlane() {
    const context = sharp(canvas, side, side);
    const colours = COLOURS.map(rgb), ground = rgb("--card");
    const cell = 6;
    for (let i = 0; i < side; i += cell) for (let j = 0; j < side; j += cell) {
      const u = back(i + cell / 2), v = -back(j + cell / 2);
      const scores = b.map((bias, c) => bias + u * W[0][c] + v * W[1][c]);
      const best = scores.indexOf(Math.max(...scores));
      const lead = Math.min(1, (scores[best] - Math.max(...scores.filter((_, c) => c !== best))) / state.delta);
      context.fillStyle = paint(mix(ground, colours[best], 0.1 + 0.22 * lead));
      context.fillRect(i, j, cell, cell);
    }
    context.lineWidth = 2;
    X.forEach(([u, v], i) => {
      context.beginPath();
      context.arc(px(u), px(-v), i === state.chosen ? 9 : 7, 0, 2 * Math.PI);
      context.fillStyle = paint(colours[y[i]]);
      context.fill();
      context.strokeStyle = i === state.chosen ? css("--ink") : css("--card");
      context.stroke();
    });
  }
  function update() {
    const at_ = now();
    sums.replaceChildren(tr("Data loss"), " ", h("data", { value: at_.data, class: "lab-data" }, fixed(at_.data, 3)), " + λΣW² ", h("data", { value: at_.penalty, class: "lab-penalty" }, fixed(at_.penalty, 3)), " = ", h("b", {}, h("data", { value: at_.value, class: "lab-total" }, fixed(at_.value, 3))));
    fields.flat().forEach((input) => input.refresh());
    slopes.forEach((row, c) => [at_.dW[0][c], at_.dW[1][c], at_.db[c]].forEach((slope, k) => { row[k].value = String(slope); row[k].textContent = (slope > 0 ? "+" : "") + fixed(slope, 3); }));
    points.replaceChildren(table([tr("point"), tr("class"), tr("scores"), tr("loss")], at_.rows.map((row, i) => [`(${fixed(X[i][0], 2)}, ${fixed(X[i][1], 2)})`, String(y[i]), row.scores.map((x) => fixed(x, 2)).join("  "), fixed(row.value, 3)]), { caption: tr("Points"), left: 1 }));
    chosen.textContent = tr("Point {0} of {1}: class {2}, at ({3})", state.chosen + 1, X.length, y[state.chosen], X[state.chosen].map((x) => fixed(x, 2)).join(", "));
    if (side) paintPlane();
  }
  function step() {
    const { dW, db } = now();
    const moved = [...W, b].map((row, d) => row.map((w, c) => w - state.step * [...dW, db][d][c]));
    const diverges = moved.flat().some((w) => Math.abs(w) > MOST_WEIGHT);
    if (diverges) runButton.stop();
    else [W, b] = [moved.slice(0, 2), moved[2]];
    update();
    if (diverges) sums.append(" ", tr("The steps are too long: the weights grow without end. Choose a smaller step size."));
  }
  const runButton = repeater(step, 60, sums);
  const move = (i, u, v) => { X[i] = [u, v].map((x) => Math.max(-1, Math.min(1, x))); update(); };
  canvas.addEventListener("pointerdown", (event) => {
    const frame = canvas.getBoundingClientRect();
    const [u, v] = [back(event.clientX - frame.left), -back(event.clientY - frame.top)];
    const near = X.map((p) => Math.hypot(p[0] - u, p[1] - v));
    const best = near.indexOf(Math.min(...near));
    if (near[best] > 0.12) return;
    state.chosen = best;
    canvas.setPointerCapture(event.pointerId);
    state.dragging = true;
    update();
  });
  // Touching a point drags it; touching elsewhere scrolls the page.
  canvas.addEventListener("touchstart", (event) => { if (state.dragging) event.preventDefault(); }, { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    if (!state.dragging) return;
    const frame = canvas.getBoundingClientRect();
    move(state.chosen, back(event.clientX - frame.left), -back(event.clientY - frame.top));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { state.dragging = false; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[event.key];
    if (by) { event.preventDefault(); move(state.chosen, X[state.chosen][0] + by[0], X[state.chosen][1] + by[1]); }
    if (event.key === "n" || event.key === "N") { state.chosen = (state.chosen + 1) % X.length; update(); }
  });
  const deltaSlider = slider("Δ", { min: 0.1, max: 5, step: 0.1, value: 1, format: (x) => fixed(x, 1) }, (x) => { state.delta = x; update(); });
  const regSlider = slider("λ", { min: -4, max: 0, step: 0.1, value: -1, format: (x) => short(10 ** x, 3) }, (x) => { state.reg = 10 ** x; update(); });
  const stepSlider = slider(tr("Step size"), { min: -3, max: 0.5, step: 0.1, value: -1, format: (x) => short(10 ** x, 3) }, (x) => { state.step = 10 ** x; });
  update();
  return h("div", { class: "columns lab" },
    h("div", {}, box, chosen, note(tr("Drag a point, or focus the plane: N selects the next point, the arrow keys move it. A deeper colour means a larger difference of the two largest scores."))),
    h("div", {}, tabs(tr("Loss"), LAB_NAMES.map(lossName), (i) => { state.loss = i; update(); }), sums,
      h("div", { class: "controls" }, button(tr("One step"), step), runButton, button(tr("Reset"), () => { runButton.stop(); ({ X, y, W, b } = copy()); update(); }), button(tr("Random weights"), () => { W = W.map((row) => row.map(() => 4 * Math.random() - 2)); b = b.map(() => 2 * Math.random() - 1); update(); })),
      h("div", { class: "controls" }, regSlider, deltaSlider, stepSlider), weights,
      h("details", { class: "numbers" }, h("summary", {}, tr("The points")), points)));
}
