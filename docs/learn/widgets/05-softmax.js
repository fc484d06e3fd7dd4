const power = (exponent) => h("span", {}, "e", h("sup", {}, exponent));
// Three scores as probabilities; all scores can be moved together, or multiplied by one factor.
widget("softmax", (options) => {
  const START = [1, -2, 0];
  const state = { scores: [...START], y: 0, shift: 0, factor: 1 };
  const place = h("div");
  const sliders = START.map((value, k) => slider(tr("Score {0}", indexed("s", k)), { min: -5, max: 5, step: 0.1, value, format: (x) => fixed(x, 1) }, (x) => { state.scores[k] = x; draw(); }));
  const shift = slider(tr("Add to all"), { min: -100, max: 100, step: 1, value: 0, format: (x) => fixed(x, 0) }, (x) => { state.shift = x; draw(); });
  const factor = slider(tr("Multiply all by"), { min: 0, max: 5, step: 0.05, value: 1, format: fixed }, (x) => { state.factor = x; draw(); });
  const truth = choice(tr("True class"), ["0", "1", "2"], (i) => { state.y = i; draw(); });
  function draw() {
    const scores = state.scores.map((score) => score * state.factor + state.shift);
    const { terms, value } = Losses.cross_entropy(scores, state.y);
    place.replaceChildren(table([tr("class"), tr("score"), power("s"), "", tr("probability")], scores.map((score, j) =>
      [j === state.y ? tr("{0} (true)", j) : String(j), short(score), short(Math.exp(score), 3), barTrack(terms[j], 0, 1, j === state.y ? "--c3" : "--c1"), shown(`p-${j}`, terms[j], fixed, 3)]),
      { caption: tr("Scores and probabilities"), left: 4, className: "odds" }),
      h("p", { class: "lab-sum", "aria-live": "polite" }, tr("Cross-entropy"), ` −log p${"₀₁₂"[state.y]} = `, h("b", {}, shown("entropy", value))));
  }
  draw();
  const extra = options.factor ? factor : shift;
  const reset = button(tr("Reset"), () => {
    Object.assign(state, { scores: [...START], shift: 0, factor: 1 });
    sliders.forEach((each, k) => each.set(START[k]));
    shift.set(0);
    factor.set(1);
    draw();
  });
  return h("div", { class: "columns lab two" }, h("div", {}, options.factor ? extra : sliders), h("div", {}, options.factor ? null : extra, h("div", { class: "controls" }, truth, reset)), h("div", { class: "whole" }, place));
});

const anyNumber = (x, digits = 4) => (Number.isFinite(x) ? short(x, digits) : signed(String(x)));

// The same three scores by the formula as it stands, and with the largest score subtracted first.
widget("overflow", (options) => {
  const START = options.scores || [123, 456, 789];
  const scores = [...START];
  const place = h("div");
  const fields = scores.map((value, k) => h("label", { class: "control" }, h("span", {}, indexed("s", k)), h("input", { type: "number", step: "any", value, input: (event) => {
    const x = Number(event.target.value);
    if (event.target.value !== "" && Number.isFinite(x)) { scores[k] = x; draw(); }
  } })));
  function draw() {
    const top = Math.max(...scores);
    const plain = scores.map((x) => Math.exp(x)), moved = scores.map((x) => Math.exp(x - top));
    const [sum, movedSum] = [plain, moved].map((list) => list.reduce((a, b) => a + b, 0));
    const rows = scores.map((x, j) => [short(x, 6), shown(`exp-${j}`, plain[j], anyNumber), shown(`naive-${j}`, plain[j] / sum, anyNumber), short(x - top, 6), shown(`moved-${j}`, moved[j], anyNumber), shown(`shifted-${j}`, moved[j] / movedSum, anyNumber)]);
    rows.push([tr("sum"), shown("exp-sum", sum, anyNumber), "", "", shown("moved-sum", movedSum, anyNumber), ""]);
    place.replaceChildren(table(["s", power("s"), [power("s"), " / ", tr("sum")], `s ${MINUS} m`, power(`s${MINUS}m`), tr("its share")], rows, { caption: tr("As the formula stands, and after subtracting the largest score m") }));
  }
  draw();
  const reset = button(tr("Reset"), () => { START.forEach((x, k) => { scores[k] = x; fields[k].querySelector("input").value = x; }); draw(); });
  return h("div", { class: "lab" }, h("div", { class: "controls" }, fields, reset), place);
});

// Two formulas of one loss, as the true class leads by more and more.
widget("lost-digits", () => {
  const state = { lead: 110 };
  const naive = (d) => Math.log(1 + Math.exp(-d) + Math.exp(-d)) - 0, careful = (d) => Losses.cross_entropy([10, 10 - d, 10 - d], 0).value;
  const place = h("div"), grid = spaced(0, 120, 241);
  const lead = slider(tr("Lead of the true class"), { min: 0, max: 120, step: 0.5, value: 110, format: (x) => fixed(x, 1) }, (x) => { state.lead = x; draw(); });
  const names = () => [tr("log of the sum, minus the score"), tr("log1p of the other classes")];
  const plot = livePlot({ title: tr("Cross-entropy of scores 10, 10 − lead, 10 − lead"), xLabel: tr("lead"), yLabel: tr("loss"), xRange: [0, 120], yRange: [1e-53, 10], yLog: true, pick: (x) => { lead.set(x); state.lead = Number(lead.input.value); draw(); } }, () => ({
    words: tr("At a lead of {0} the first formula gives {1}, the second {2}.", fixed(state.lead, 1), anyNumber(naive(state.lead)), anyNumber(careful(state.lead))),
    lines: [{ name: names()[1], color: "--c3", x: grid, y: grid.map(careful) }, { name: names()[0], color: "--c2", dash: true, x: grid, y: grid.map(naive) }],
    verticals: [{ x: grid.find((d) => naive(d) === 0), text: tr("0 from here on") }],
    points: [{ x: state.lead, y: careful(state.lead), color: "--c3" }, { x: state.lead, y: naive(state.lead), color: "--c2" }],
  }));
  function draw() {
    const d = state.lead, part = Math.exp(-d), right = careful(d);
    place.replaceChildren(table([tr("step"), tr("value")], [
      [parts("{0} of each other class, relative to the true one", power("s")), shown("part", part)],
      [tr("1 + their sum, as the computer stores it"), shown("stored", 1 + part + part, (x) => signed(String(x)))],
      [names()[0], shown("naive-loss", naive(d))], [names()[1], shown("careful-loss", right)],
      [tr("digits lost, of 16"), shown("lost", Math.min(16, Math.max(0, 16 + Math.log10(Math.max(1e-16, Math.abs(naive(d) / right - 1))))), fixed, 1)]],
      { caption: tr("Step by step") }));
    plot.again();
  }
  draw();
  return h("div", { class: "columns lab two" }, h("div", {}, lead, plot), h("div", {}, place));
});
