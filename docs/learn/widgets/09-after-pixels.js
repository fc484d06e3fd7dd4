// Page 9: histograms of gradients of a picture that can be changed, and the accuracy of the features.
const HOG_SIDE = 16, HOG_CELL = 4, HOG_BINS = 9;

// As softmargin.features.HOG: central differences, each gradient shared between the two nearest bins of its angle.
// A feature here is the histogram of one cell at length 1; HOG scales blocks of cells, and clips what is above 0.2.
function orientedGradients(pixels) {
  const at = (i, j) => pixels[HOG_SIDE * i + j], cells = HOG_SIDE / HOG_CELL, inner = (k) => k > 0 && k < HOG_SIDE - 1;
  const histograms = [...Array(cells * cells)].map(() => Array(HOG_BINS).fill(0));
  const gradients = pixels.map((_, p) => {
    const [i, j] = [Math.floor(p / HOG_SIDE), p % HOG_SIDE];
    const down = inner(i) ? at(i + 1, j) - at(i - 1, j) : 0, right = inner(j) ? at(i, j + 1) - at(i, j - 1) : 0;
    const length = Math.hypot(down, right), bins = Math.atan2(down, right) * (HOG_BINS / Math.PI), lower = Math.floor(bins);
    const cell = histograms[Math.floor(i / HOG_CELL) * cells + Math.floor(j / HOG_CELL)], wrap = (k) => ((k % HOG_BINS) + HOG_BINS) % HOG_BINS;
    cell[wrap(lower)] += length * (1 - (bins - lower));
    cell[wrap(lower + 1)] += length * (bins - lower);
    return { down, right };
  });
  const averages = histograms.map((list) => list.map((v) => v / HOG_CELL ** 2));
  const unit = (list) => { const size = Math.sqrt(list.reduce((sum, v) => sum + v * v, 1e-10)); return list.map((v) => v / size); };
  return { gradients, averages, features: averages.map(unit) };
}

widget("hog", () => {
  const CELL = 22, SIDE = HOG_SIDE, cells = SIDE / HOG_CELL;
  const clip = (v) => Math.max(0, Math.min(255, Math.round(v)));
  const shapes = {
    edge: (u, v) => Math.round(125 + 55 * Math.max(-1, Math.min(1, u / 2))), // soft, so that steps of pixels do not hide its angle
    stripes: (u, v) => (Math.floor((u + 100) / 4) % 2 ? 180 : 70),
    ring: (u, v) => (Math.abs(Math.hypot(u, v) - 5) < 1.5 ? 180 : 70),
  };
  const state = { shape: "edge", angle: 20, light: 0, contrast: 1, at: 5 * SIDE + 8, drawn: null };
  const original = () => {
    const turn = (state.angle * Math.PI) / 180;
    return [...Array(SIDE * SIDE).keys()].map((p) => {
      const [y, x] = [Math.floor(p / SIDE) - 7.5, (p % SIDE) - 7.5];
      return shapes[state.shape](x * Math.cos(turn) + y * Math.sin(turn), y * Math.cos(turn) - x * Math.sin(turn));
    });
  };
  const base = () => state.drawn ?? original();
  const pixels = () => base().map((v) => clip(125 + (v - 125) * state.contrast + state.light));
  const canvas = h("canvas", { class: "pixels fit", tabindex: 0, role: "application", "aria-roledescription": tr("picture"), "aria-label": tr("Picture of 16 × 16 pixels with its gradients. The arrow keys select a pixel; Space makes it dark or bright.") });
  const place = h("div"), where = readings();
  function paintPicture(now, gradients) {
    const context = sharp(canvas, SIDE * CELL, SIDE * CELL);
    now.forEach((v, p) => {
      context.fillStyle = paint([v, v, v]);
      context.fillRect((p % SIDE) * CELL, Math.floor(p / SIDE) * CELL, CELL, CELL);
    });
    context.lineWidth = 2;
    context.strokeStyle = paint([235, 120, 30]);
    gradients.forEach(({ down, right }, p) => {
      const length = Math.hypot(down, right);
      if (length < 4) return;
      const [x, y] = [((p % SIDE) + 0.5) * CELL, (Math.floor(p / SIDE) + 0.5) * CELL], reach = 3 + (0.42 * CELL - 3) * Math.min(1, length / 160);
      const [dx, dy] = [(right / length) * reach, (down / length) * reach];
      context.beginPath();
      context.moveTo(x - dx, y - dy);
      context.lineTo(x + dx, y + dy);
      context.lineTo(x + 0.3 * dx - 0.4 * dy, y + 0.3 * dy + 0.4 * dx);
      context.stroke();
    });
    context.strokeStyle = paint([80, 140, 235]);
    context.lineWidth = 1;
    for (let k = 0; k <= cells; k++) for (const [a, b] of [[k, true], [k, false]]) {
      const line = a * HOG_CELL * CELL;
      context.beginPath();
      context.moveTo(b ? line : 0, b ? 0 : line);
      context.lineTo(b ? line : SIDE * CELL, b ? SIDE * CELL : line);
      context.stroke();
    }
    const [i, j] = [Math.floor(state.at / SIDE), state.at % SIDE], side = HOG_CELL * CELL;
    context.lineWidth = 3;
    context.strokeRect(Math.floor(j / HOG_CELL) * side + 1.5, Math.floor(i / HOG_CELL) * side + 1.5, side - 3, side - 3);
    context.strokeStyle = paint([235, 60, 60]);
    context.strokeRect(j * CELL + 1.5, i * CELL + 1.5, CELL - 3, CELL - 3);
  }
  const change = (a, b) => Math.sqrt(a.reduce((sum, v, k) => sum + (v - b[k]) ** 2, 0) / b.reduce((sum, v) => sum + v * v, 1e-12));
  function draw() {
    const now = pixels(), { gradients, averages, features } = orientedGradients(now), before = orientedGradients(base()).features;
    paintPicture(now, gradients);
    const [i, j] = [Math.floor(state.at / SIDE), state.at % SIDE], cell = Math.floor(i / HOG_CELL) * cells + Math.floor(j / HOG_CELL);
    const { down, right } = gradients[state.at];
    place.replaceChildren(
      table([tr("direction"), "", tr("average"), tr("at length 1")], features[cell].map((v, k) => [`${(180 / HOG_BINS) * k}°`, barTrack(v, 0, 1), shown(`hog-average-${k}`, averages[cell][k], fixed), shown(`hog-${k}`, v, fixed)]), { caption: tr("Histogram of the selected cell"), left: 2, className: "wide-bar" }),
      facts([[tr("Change of the pixels"), shown("hog-pixels", change(now, base()), percent)],
        [tr("Change of the histograms"), shown("hog-change", change(features.flat(), before.flat()), percent)]]));
    where.textContent = tr("Row {0}, column {1}: brightness {2}, gradient ({3}, {4}) to the right and down", i + 1, j + 1, now[state.at], right, down);
  }
  const toggle = (p, value) => { state.drawn = [...base()]; state.drawn[p] = value; };
  let ink = null;
  const under = (event) => {
    const frame = canvas.getBoundingClientRect(), k = (v) => Math.max(0, Math.min(SIDE - 1, Math.floor(v / (frame.width / SIDE))));
    return SIDE * k(event.clientY - frame.top) + k(event.clientX - frame.left);
  };
  const put = (p, value) => { state.at = p; toggle(p, value); draw(); };
  canvas.addEventListener("pointerdown", (event) => { const p = under(event); ink = base()[p] > 125 ? 70 : 180; canvas.setPointerCapture(event.pointerId); put(p, ink); });
  canvas.addEventListener("pointermove", (event) => { if (ink !== null && under(event) !== state.at) put(under(event), ink); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { ink = null; });
  canvas.addEventListener("keydown", (event) => {
    const [i, j] = [Math.floor(state.at / SIDE), state.at % SIDE];
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      event.preventDefault();
      const [row, column] = [i + step[0], j + step[1]].map((k) => Math.max(0, Math.min(SIDE - 1, k)));
      state.at = SIDE * row + column;
      draw();
    } else if (event.key === " ") { event.preventDefault(); put(state.at, base()[state.at] > 125 ? 70 : 180); }
  });
  draw();
  onTheme(draw);
  const again = (key) => (value) => { state[key] = value; state.drawn = null; draw(); };
  const part = h("div", { class: "columns lab" },
    h("div", {}, canvas, where, note(tr("Click or drag to draw. Arrows point from dark to bright."))),
    h("div", {}, tabs(tr("Picture"), [tr("Edge"), tr("Stripes"), tr("Ring")], (k) => again("shape")(Object.keys(shapes)[k])),
      slider(tr("Angle"), { min: 0, max: 180, step: 5, value: state.angle, format: (x) => `${x}°` }, again("angle")),
      slider(tr("Brightness added"), { min: -60, max: 60, step: 5, value: 0 }, (x) => { state.light = x; draw(); }),
      slider(tr("Contrast"), { min: 0.2, max: 1, step: 0.1, value: 1, format: (x) => fixed(x, 1) }, (x) => { state.contrast = x; draw(); }), place));
  return Object.assign(part, { pixels });
});

widget("ladder", (options, { ladder }) => {
  const place = h("div", { "aria-live": "polite" });
  const share = (rung) => ({ value: rung.accuracy, low: null, high: null, n: ladder.n_test, n_correct: Math.round(rung.accuracy * ladder.n_test) });
  const names = { pixels: tr("pixels"), hog: tr("HOG and colours"), "small network": tr("small network"), "kmeans:1600": tr("k-means patches"), "efficientnet-lite0": tr("frozen network") };
  const picture = h("div");
  function draw(k) {
    const rung = ladder.rungs[k], under = ladder.rungs[Math.max(0, k - 1)];
    refill(picture, dotPlot({ title: tr("Test accuracy on CIFAR-10"), rows: ladder.rungs.map((each, i) => ({ name: names[each.name], share: share(each), strong: i === k })), height: 30, labelWidth: 230 }));
    place.replaceChildren(facts([
      [tr("Columns"), shown("ladder-columns", rung.columns, whole)],
      [tr("Test accuracy"), shown("ladder-accuracy", rung.accuracy, percent)],
      [tr("Gain over the row above"), shown("ladder-gain", rung.accuracy - under.accuracy, percent)],
      [tr("Share of the errors of pixels that remains"), shown("ladder-errors", (1 - rung.accuracy) / (1 - ladder.rungs[0].accuracy), percent)],
    ]), h("pre", {}, h("code", {}, rung.command)));
  }
  draw(0);
  return h("div", {}, slider(tr("Features"), { min: 0, max: ladder.rungs.length - 1, step: 1, value: 0, format: (k) => names[ladder.rungs[k].name] }, draw), picture, place);
});
