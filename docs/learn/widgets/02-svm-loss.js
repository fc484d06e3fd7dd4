widget("plane", () => planeLab());

// Three scores and Δ: which rival pays, and how much.
widget("payers", (options) => {
  const START = options.start || [13, -7, 11];
  const state = { scores: [...START], delta: options.delta || 10, y: 0, squared: false };
  const place = h("div"), box = h("div", { class: "chart" });
  const one = (x) => fixed(x, 1);
  const sliders = START.map((value, k) => slider(tr("Score {0}", indexed("s", k)), { min: -20, max: 20, step: 0.5, value, format: one }, (x) => { state.scores[k] = x; draw(); }));
  const delta = slider("Δ", { min: 0.5, max: 20, step: 0.5, value: state.delta, format: one }, (x) => { state.delta = x; draw(); });
  const truth = choice(tr("True class"), ["0", "1", "2"], (i) => { state.y = i; draw(); });
  const which = tabs(tr("Loss"), [tr("Hinge"), tr("Squared hinge")], (i) => { state.squared = i === 1; draw(); });
  const line = responsive(box, (width) => {
    const { scores, y, delta: d } = state, limit = scores[y] - d;
    const left = 78, right = 16, step = 34, top = 26, height = top + 3 * step + 26;
    const x = scale([-40, 20], left, width - right);
    const others = scores.map((score, j) => tr("class {0} at {1}", j, one(score))).join(", ");
    box.replaceChildren(drawing(width, height, tr("Number line: {0}; the limit for rivals is {1}.", others, one(limit)), { role: "img" },
      s("rect", { class: "margin-zone", x: x(limit), y: top - 6, width: x(scores[y]) - x(limit), height: 3 * step + 6 }),
      ticks(-40, 20, width / 90).map((t) => [s("line", { class: "grid", x1: x(t), x2: x(t), y1: top - 6, y2: height - 26 }), s("text", { class: "tick", x: x(t), y: height - 8, "text-anchor": "middle" }, short(t))]),
      s("line", { class: "mark-line", x1: x(limit), x2: x(limit), y1: top - 6, y2: height - 26 }), markText(x(limit), 14, width, tr("limit {0}", one(limit))),
      scores.map((score, j) => {
        const height_ = top + (j + 0.5) * step, pays = j !== y && score > limit;
        return [s("text", { class: "row-label", x: left - 10, y: height_ + 4, "text-anchor": "end" }, j === y ? tr("{0} (true)", j) : String(j)),
          pays ? s("line", { class: "payment", x1: x(limit), x2: x(score), y1: height_, y2: height_ }) : null,
          s("circle", { class: "mark", style: { "--key": `var(${j === y ? "--c3" : pays ? "--c2" : "--c1"})` }, cx: x(score), cy: height_, r: 7 })];
      })));
  });
  function draw() {
    const { scores, y, delta: d } = state;
    const { terms, value } = Losses[state.squared ? "squared_hinge" : "hinge"](scores, y, d);
    const top = Math.max(1, ...terms);
    place.replaceChildren(table([tr("rival"), tr("term"), "", tr("pays")], scores.map((score, j) => (j === y ? null : [String(j),
      h("span", { class: "term" }, `max(0, ${short(score)} ${scores[y] < 0 ? "+" : MINUS} ${short(Math.abs(scores[y]))} + ${short(d)})${state.squared ? "²" : ""}`), barTrack(terms[j], 0, top, "--c2"), shown(`pays-${j}`, terms[j])])).filter(Boolean),
      { caption: tr("What each rival adds to the loss"), left: 3, className: "pays" }),
      h("p", { class: "lab-sum", "aria-live": "polite" }, tr("Loss"), " ", h("b", {}, shown("pays-sum", value))));
    line.again();
  }
  draw();
  const reset = button(tr("Reset"), () => {
    Object.assign(state, { scores: [...START], delta: options.delta || 10 });
    sliders.forEach((each, k) => each.set(START[k]));
    delta.set(state.delta);
    draw();
  });
  return h("div", { class: "columns lab two" }, h("div", {}, sliders, delta, h("div", { class: "controls" }, truth, reset)), h("div", {}, which, box), h("div", { class: "whole" }, place));
});

// Both hinges as functions of the margin over one rival.
widget("hinge-curves", () => {
  const state = { margin: 0, delta: 1 };
  const place = h("div", { class: "controls" });
  const values = (margin) => [Losses.hinge([margin, 0], 0, state.delta), Losses.squared_hinge([margin, 0], 0, state.delta)];
  const grid = spaced(-3, 3, 121);
  const margin = slider(tr("Margin: true score minus rival"), { min: -3, max: 3, step: 0.05, value: 0, format: fixed }, (x) => { state.margin = x; draw(); });
  const delta = slider("Δ", { min: 0.25, max: 3, step: 0.25, value: 1, format: fixed }, (x) => { state.delta = x; draw(); });
  const plot = livePlot({ title: tr("Loss of one rival"), xLabel: tr("margin"), yLabel: tr("loss"), xRange: [-3, 3], yRange: [0, 9], pick: (x) => { margin.set(x); state.margin = Number(margin.input.value); draw(); } }, () => {
    const [hinge, squared] = values(state.margin);
    return { words: tr("At a margin of {0} the hinge is {1}, the squared hinge {2}.", fixed(state.margin), short(hinge.value), short(squared.value)),
      lines: [["hinge", "--c1", 0], ["squared_hinge", "--c2", 1]].map(([name, color, k]) => ({ name: lossName(name), color, x: grid, y: grid.map((m) => values(m)[k].value) })),
      points: [{ x: state.margin, y: hinge.value, color: "--c1" }, { x: state.margin, y: squared.value, color: "--c2" }],
      verticals: [{ x: state.delta, text: "Δ" }] };
  });
  function draw() {
    const found = values(state.margin);
    place.replaceChildren(table([tr("loss"), tr("value"), tr("slope")], ["hinge", "squared_hinge"].map((name, k) =>
      [lossName(name), shown(`curve-${name}`, found[k].value), shown(`slope-${name}`, found[k].gradient[0])]), { caption: tr("At this margin") }));
    plot.again();
  }
  draw();
  return h("div", { class: "columns lab two" }, h("div", {}, plot), h("div", {}, margin, delta, place));
});
