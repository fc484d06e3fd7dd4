// Stored optima of both hinges for every Δ and λ, each fitted on its own: do two of them differ only in size?
widget("exchange", (options, { exchange }) => {
  const { X, y, deltas, regs, optima } = exchange;
  const NAMES = ["hinge", "squared_hinge"], COLOURS = ["--c1", "--c2", "--c3"], SIDE = 210, CELLS = 70;
  const state = { loss: 0, delta: 4, reg: regs.length - 7, divided: true, together: false };
  const one = deltas.indexOf(1);
  const place = h("div"), told = h("p", { class: "lab-sum", "aria-live": "polite" });
  const find = (i, k) => {
    const [w0, w1, w2, v0, v1, v2, b0, b1, b2, value] = optima[NAMES[state.loss]][i][k];
    return { delta: deltas[i], reg: regs[k], w: [w0, w1, w2, v0, v1, v2], b: [b0, b1, b2], value };
  };
  const scores = ({ w, b }, u, v) => b.map((bias, c) => bias + u * w[c] + v * w[3 + c]);
  const best = (list) => list.indexOf(Math.max(...list));
  // The λ for Δ = 1 is Δ·λ or λ; both are powers of two times 0.1, so it is in the list.
  const other = () => state.reg + (state.divided ? Math.round(Math.log2(deltas[state.delta])) : 0);
  const canvases = [0, 1].map(() => h("canvas", { role: "img" }));
  const titles = canvases.map(() => h("figcaption"));
  function paintOne(canvas, fit, words) {
    canvas.setAttribute("aria-label", words);
    const context = sharp(canvas, SIDE, SIDE), cell = SIDE / CELLS;
    const ground = rgb("--card"), colours = COLOURS.map(rgb);
    for (let i = 0; i < CELLS; i++) for (let j = 0; j < CELLS; j++) {
      const found = scores(fit, (2 * (i + 0.5)) / CELLS - 1, 1 - (2 * (j + 0.5)) / CELLS);
      context.fillStyle = paint(mix(ground, colours[best(found)], 0.28));
      context.fillRect(i * cell, j * cell, cell + 0.5, cell + 0.5);
    }
    X.forEach(([u, v], i) => {
      context.beginPath();
      context.arc(((u + 1) / 2) * SIDE, ((1 - v) / 2) * SIDE, 6, 0, 2 * Math.PI);
      context.fillStyle = paint(colours[y[i]]);
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = css("--card");
      context.stroke();
    });
  }
  function draw() {
    const [a, b] = [find(state.delta, state.reg), find(one, other())];
    let differ = 0;
    for (let i = 0; i < CELLS; i++) for (let j = 0; j < CELLS; j++) {
      const [u, v] = [(2 * (i + 0.5)) / CELLS - 1, 1 - (2 * (j + 0.5)) / CELLS];
      differ += best(scores(a, u, v)) !== best(scores(b, u, v));
    }
    [a, b].forEach((fit, k) => {
      titles[k].replaceChildren(...parts("Δ = {0}, λ = {1}", shown(`delta-${k}`, fit.delta), shown(`reg-${k}`, fit.reg)));
      paintOne(canvases[k], fit, tr("Predicted class of every point of the plane for Δ = {0} and λ = {1}", short(fit.delta), short(fit.reg)));
    });
    const ratios = a.w.map((w, k) => w / b.w[k]);
    const names = a.w.map((_, k) => tr("class {0}, {1}", k % 3, "xy"[Math.floor(k / 3)]));
    place.replaceChildren(table([tr("weight"), tr("left"), tr("right"), tr("left / right")], names.map((name, k) =>
      [name, shown(`left-${k}`, a.w[k]), shown(`right-${k}`, b.w[k]), shown(`ratio-${k}`, ratios[k], fixed, 4)]), { caption: tr("The six weights of both optima") }));
    const same = Math.max(...ratios) - Math.min(...ratios) < 1e-4 * Math.abs(ratios[0]);
    told.replaceChildren(...parts("The two sides differ in the class of {0} of {1} points of the plane. {2}", shown("differ", differ, whole), whole(CELLS * CELLS),
      same ? tr("All weights have the same ratio, Δ.") : tr("The ratios of the weights differ: these are two different classifiers.")));
  }
  const which = tabs(tr("Loss"), NAMES.map(lossName), (i) => { state.loss = i; draw(); });
  const rule = tabs(tr("Right side"), ["Δ = 1, Δ·λ", "Δ = 1, λ"], (i) => { state.divided = i === 0; draw(); });
  const within = (x, [low, high]) => Math.max(low, Math.min(high, x));
  const DELTAS = [0, deltas.length - 1], REGS = [2, regs.length - 4];
  // Both lists are powers of two, so the sum of the places determines Δ·λ; a slider stops where the other one ends.
  function move(delta, reg) {
    Object.assign(state, { delta, reg });
    deltaSlider.set(delta);
    regSlider.set(reg);
    draw();
  }
  const regSlider = slider("λ", { min: REGS[0], max: REGS[1], step: 1, value: state.reg, format: (k) => short(regs[k]) }, (k) => {
    const delta = state.together ? within(state.delta + state.reg - k, DELTAS) : state.delta;
    move(delta, state.together ? state.delta + state.reg - delta : k);
  });
  const deltaSlider = slider("Δ", { min: DELTAS[0], max: DELTAS[1], step: 1, value: state.delta, format: (i) => short(deltas[i]) }, (i) => {
    const reg = state.together ? within(state.delta + state.reg - i, REGS) : state.reg;
    move(state.together ? state.delta + state.reg - reg : i, reg);
  });
  const together = h("label", { class: "control" }, h("input", { type: "checkbox", change: (event) => { state.together = event.target.checked; } }), tr("Δ up, λ down: keep Δ·λ"));
  onTheme(draw);
  draw();
  return h("div", { class: "lab" }, which, h("div", { class: "controls" }, deltaSlider, regSlider, together), h("div", { class: "controls" }, h("span", { class: "muted" }, tr("Right side")), rule),
    h("div", { class: "pair" }, canvases.map((canvas, k) => h("figure", {}, titles[k], canvas))), told, place);
});
