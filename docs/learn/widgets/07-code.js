// Page 7: what each classic mistake does to the value, the gradient and the gradient check, and the times of loops and NumPy.
widget("code-mistakes", () => {
  const X = [[0.5, 0.4], [0.8, 0.3], [0.3, 0.8], [-0.4, 0.3], [-0.3, 0.7], [-0.7, 0.2], [0.7, -0.4], [0.5, -0.6], [-0.4, -0.5]];
  const y = [0, 0, 0, 1, 1, 1, 2, 2, 2], b = [0, 0, 0];
  const W = [[2.06, 0.44, 2.27], [1.48, -1.82, -2.04]], N = X.length, D = W.length;
  const state = { loss: 0, reg: 0.1, value: 0, gradient: 0, penalty: 0, slope: 0 };
  const place = h("div", { "aria-live": "polite" });
  const at = (weights) => objectiveAt(LAB_NAMES[state.loss], 1, X, y, weights, b, state.reg);
  const yours = (weights) => { const { data, penalty } = at(weights); return data * (state.value ? N / D : 1) + penalty * (state.penalty ? 0.5 : 1); };
  function draw() {
    const right = at(W);
    const slopes = right.dW.map((row, d) => row.map((g, c) => {
      const pull = 2 * state.reg * W[d][c];
      return (g - pull) * (state.gradient ? N / D : 1) + pull * (state.slope ? 0.5 : 1);
    }));
    const step = 1e-6, moved = (d, c, by) => W.map((row, i) => row.map((w, j) => w + (i === d && j === c ? by : 0)));
    const differences = slopes.map((row, d) => row.map((_, c) => (yours(moved(d, c, step)) - yours(moved(d, c, -step))) / (2 * step)));
    const error = (list) => Math.max(...slopes.flatMap((row, d) => row.map((g, c) => Math.abs(g - list[d][c])))) / Math.max(...list.flat().map(Math.abs));
    const value = yours(W), check = error(differences), wrong = Math.abs(value - right.value) > 1e-9;
    const passes = check < 1e-4;
    const means = (state.value ? D / N : 1) * (state.penalty ? 0.5 : 1) * state.reg;
    place.replaceChildren(facts([
      [tr("Your value"), shown("code-value", value)],
      [tr("Correct value"), shown("code-correct", right.value)],
      [tr("Error of the gradient against differences"), shown("code-check", check, short, 2)],
      [tr("Error against the correct gradient"), shown("code-error", error(right.dW), short, 2)],
      [tr("Gradient check"), h("span", { class: passes ? "right" : "wrong", "data-id": "code-verdict" }, passes ? tr("passes") : tr("fails"))],
      [tr("The λ that your value means"), shown("code-reg", means)],
    ]),
    note(passes && wrong ? tr("The check passes, and the function is wrong: the gradient belongs to the wrong value.")
      : passes ? tr("Value and gradient are correct.") : tr("The gradient does not belong to this value.")));
  }
  draw();
  const pick = (label, key, options) => Object.assign(choice(label, options, (i) => { state[key] = i; draw(); }), { key });
  const controls = [
    pick(tr("Data loss: the sum divided by"), "value", [tr("the number of samples, 9"), tr("the number of features, 2")]),
    pick(tr("Its gradient: the sum divided by"), "gradient", [tr("the number of samples, 9"), tr("the number of features, 2")]),
    pick(tr("Penalty"), "penalty", ["λΣW²", "½λΣW²"]),
    pick(tr("Its gradient"), "slope", ["2λW", "λW"]),
  ];
  const set = (values) => controls.forEach((one, k) => { one.select.value = values[k]; state[one.key] = values[k]; });
  const example = (label, values) => button(label, () => { set(values); draw(); });
  return h("div", { class: "columns lab" },
    h("div", {}, h("div", { class: "controls" }, example(tr("Correct"), [0, 0, 0, 0]), example(tr("Divides by features"), [1, 1, 0, 0]), example(tr("½λ everywhere"), [0, 0, 1, 1]), example(tr("½λ in the value only"), [0, 0, 1, 0])),
      controls.map((one) => h("div", { class: "controls" }, one))),
    h("div", {}, tabs(tr("Loss"), LAB_NAMES.map(lossName), (i) => { state.loss = i; draw(); }),
      slider("λ", { min: -3, max: 0, step: 0.1, value: -1, format: (x) => short(10 ** x, 3) }, (x) => { state.reg = 10 ** x; draw(); }), place));
});

widget("code-speed", (options, data) => {
  const { rows } = data["textbook-speed"];
  const place = h("div", { "aria-live": "polite" });
  const milli = (x) => `${short(1000 * x, 3)} ms`, times = (x) => tr("{0} times", whole(x));
  function draw(k) {
    const row = rows[k];
    place.replaceChildren(facts([
      [tr("Loops"), shown("speed-naive", row.naive, milli)],
      [tr("NumPy"), shown("speed-vectorized", row.vectorized, milli)],
      [tr("softmargin.Objective"), shown("speed-objective", row.objective, milli)],
      [tr("Loops against NumPy"), shown("speed-ratio", row.naive / row.vectorized, times)],
    ]));
  }
  const start = rows.findIndex((row) => row.n === 1000);
  draw(start);
  const line = (name, key, color) => ({ name, color, dots: true, x: rows.map((row) => row.n), y: rows.map((row) => row[key]) });
  return h("div", {},
    slider(tr("Samples"), { min: 0, max: rows.length - 1, step: 1, value: start, format: (k) => whole(rows[k].n) }, draw), place,
    lineChart({ title: tr("Time of one value"), xLabel: tr("samples"), yLabel: tr("seconds"), xLog: true, yLog: true, height: 240,
      series: [line(tr("Loops"), "naive", "--c2"), line(tr("NumPy"), "vectorized", "--c1"), line(tr("softmargin.Objective"), "objective", "--c3")] }));
});
