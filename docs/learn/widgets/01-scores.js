// A digit, pixel by pixel, times the weights of each class.
widget("digit-scores", (options, { digits }) => {
  const { W, b } = digits.hinge;
  const SIDE = 8, CELL = 30;
  const state = { pixels: [], label: 0, at: 27, products: false };
  const canvas = h("canvas", { class: "pixels", tabindex: 0, role: "application", "aria-roledescription": tr("picture"), "aria-label": tr("Picture of 8 × 8 pixels. The arrow keys select a pixel; Space makes it black or white; plus and minus change it by one level.") });
  const place = h("div"), told = h("p", { class: "lab-sum", "aria-live": "polite" }), where = readings();
  const load = (i) => { state.pixels = [...digits.digits[i].pixels]; state.label = digits.digits[i].label; draw(); };
  const weight = (c, p) => W[p][c];
  const scores = () => b.map((bias, c) => state.pixels.reduce((sum, v, p) => sum + (v / 16) * weight(c, p), bias));
  const most = extent(W.flat());

  function paintPixels() {
    const context = sharp(canvas, SIDE * CELL, SIDE * CELL);
    const white = [255, 255, 255], black = [18, 22, 28]; // also on a dark page
    state.pixels.forEach((v, p) => {
      context.fillStyle = paint(mix(white, black, v / 16));
      context.fillRect((p % SIDE) * CELL, Math.floor(p / SIDE) * CELL, CELL, CELL);
      context.strokeStyle = css("--line");
      context.strokeRect((p % SIDE) * CELL + 0.5, Math.floor(p / SIDE) * CELL + 0.5, CELL - 1, CELL - 1);
    });
    context.strokeStyle = css("--c2");
    context.lineWidth = 3;
    context.strokeRect((state.at % SIDE) * CELL + 1.5, Math.floor(state.at / SIDE) * CELL + 1.5, CELL - 3, CELL - 3);
  }
  function draw() {
    paintPixels();
    const values = scores(), order = [...values.keys()].sort((i, j) => values[j] - values[i]);
    const range = Math.max(3, ...values.map(Math.abs));
    const [row, column] = [Math.floor(state.at / SIDE) + 1, (state.at % SIDE) + 1];
    place.replaceChildren(table([tr("class"), "", "", tr("score"), tr("this pixel")],
      values.map((value, c) => [String(c),
        weightPicture(state.pixels.map((v, p) => weight(c, p) * (state.products ? v / 16 : 1)), SIDE, SIDE, 1, most, state.products ? tr("weight times pixel for class {0}", c) : tr("weights of class {0}", c), 36),
        barTrack(value, -range, range, c === order[0] ? "--c2" : "--c1"), shown(`score-${c}`, value, fixed), shown(`pixel-${c}`, weight(c, state.at), fixed)]),
      { caption: tr("Scores, and what the selected pixel adds when it changes from white to black"), left: 3, className: "scores" }));
    told.replaceChildren(...parts("Largest score: class {0}. Lead over class {1}: {2}.", shown("best", order[0], String), order[1], shown("lead", values[order[0]] - values[order[1]], fixed)));
    where.textContent = tr("Row {0}, column {1}: level {2} of 16", row, column, state.pixels[state.at]);
  }
  const set = (p, v) => { state.at = p; state.pixels[p] = Math.max(0, Math.min(16, v)); draw(); };
  const under = (event) => {
    const frame = canvas.getBoundingClientRect();
    const [i, j] = [event.clientY - frame.top, event.clientX - frame.left].map((v) => Math.floor(v / CELL));
    return i >= 0 && j >= 0 && i < SIDE && j < SIDE ? SIDE * i + j : null;
  };
  let ink = null;
  canvas.addEventListener("pointerdown", (event) => {
    const p = under(event);
    if (p === null) return;
    ink = state.pixels[p] >= 8 ? 0 : 16;
    canvas.setPointerCapture(event.pointerId);
    set(p, ink);
  });
  canvas.addEventListener("pointermove", (event) => {
    const p = under(event);
    if (ink !== null && p !== null && (p !== state.at || state.pixels[p] !== ink)) set(p, ink);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { ink = null; });
  canvas.addEventListener("keydown", (event) => {
    const [i, j] = [Math.floor(state.at / SIDE), state.at % SIDE];
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const level = { " ": state.pixels[state.at] >= 8 ? 0 : 16, Enter: state.pixels[state.at] >= 8 ? 0 : 16, "+": state.pixels[state.at] + 1, "-": state.pixels[state.at] - 1 }[event.key];
    if (step === undefined && level === undefined) return;
    event.preventDefault();
    if (level !== undefined) return set(state.at, level);
    const [r, k] = [i + step[0], j + step[1]].map((v) => Math.max(0, Math.min(SIDE - 1, v)));
    state.at = SIDE * r + k;
    draw();
  });
  const which = choice(tr("Digit"), digits.digits.map((one) => String(one.label)), load, 3);
  const view = tabs(tr("Pictures"), [tr("Weights"), tr("Weight × pixel")], (i) => { state.products = i === 1; draw(); });
  onTheme(draw);
  load(3);
  return h("div", { class: "columns lab beside" },
    h("div", {}, h("div", { class: "controls" }, which, button(tr("Restore"), () => load(Number(which.select.value))), button(tr("Clear"), () => { state.pixels.fill(0); draw(); })), canvas, where,
      note(tr("Draw with the mouse or a finger. By keyboard: the arrow keys select a pixel, Space makes it black or white, plus and minus change it by one level."))),
    h("div", {}, told, view, place));
});

// Three classes and four features: every number can be changed.
widget("product", (options) => {
  const START = { W: [[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0, -0.45, -0.2, 0.03]], x: [-15, 22, -44, 56], b: [0, 0.2, -0.3] };
  const copy = () => JSON.parse(JSON.stringify(START));
  const state = { ...copy(), y: 2 };
  const field = (list, i, label) => {
    const input = h("input", { type: "number", step: "any", value: list[i], "aria-label": label, input: () => { if (input.value !== "" && Number.isFinite(Number(input.value))) { list[i] = Number(input.value); draw(); } } });
    return input;
  };
  const place = h("div"), work = h("div", { "aria-live": "polite" });
  const number = (v) => (v < 0 ? `(${short(v, 6)})` : short(v, 6));
  const out = [0, 1, 2].map(() => h("span"));
  function fields() {
    const row = (list, name) => list.map((_, i) => field(list, i, tr("{0}, number {1}", name, i + 1)));
    place.replaceChildren(table(["", ...[1, 2, 3, 4].map((k) => indexed("x", k)), "b", tr("score")],
      [[tr("picture"), ...row(state.x, tr("picture")), "", ""], ...state.W.map((weights, c) => [tr("class {0}", c), ...row(weights, tr("weights of class {0}", c)), field(state.b, c, tr("intercept of class {0}", c)), out[c]])],
      { caption: tr("A picture of four pixels, and one row of weights per class"), className: "tight" }));
  }
  function draw() {
    const scores = state.W.map((row, c) => row.reduce((sum, w, d) => sum + w * state.x[d], 0) + state.b[c]);
    scores.forEach((score, c) => out[c].replaceChildren(shown(`product-${c}`, score)));
    let lines = h("div", { class: "work" }, state.W.map((row, c) => h("div", {}, `${indexed("s", c)} = ${row.map((w, d) => `${number(w)}·${number(state.x[d])}`).join(" + ")} + ${number(state.b[c])} = ${short(scores[c])}`)));
    if (options.losses) {
      const [hinge, entropy] = ["hinge", "cross_entropy"].map((name) => Losses[name](scores, state.y, 1).value);
      lines = h("div", {}, lines, h("p", { class: "lab-sum" }, tr("Hinge"), " ", shown("product-hinge", hinge), " · ", tr("Cross-entropy"), " ", shown("product-cross-entropy", entropy)));
    }
    work.replaceChildren(lines);
  }
  fields();
  draw();
  const truth = options.losses ? choice(tr("True class"), ["0", "1", "2"], (i) => { state.y = i; draw(); }, 2) : null;
  return h("div", {}, place, h("div", { class: "controls" }, truth, button(tr("Reset"), () => { Object.assign(state, copy()); fields(); draw(); })), work);
});
