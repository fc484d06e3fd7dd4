// The panel of the weights: pictures or features, top samples, contributions of pixels, similarity of the classes.
function weightsPanel() {
  const weights = R.weights;
  const pictures = weights.pictures !== "";
  const section = panel("weights", tr("Weights"), pictures
    ? tr("The score of a class is the sum of the pixels times the class's weights, plus its intercept. So the weights are a picture, too: bright pixels increase the score where the weight is positive, and decrease it where the weight is negative.")
    : tr("The score of a class is the sum of the features times the class's weights, plus its intercept."));
  if (pictures) section.append(weightPictures(weights));
  if (weights.features.length) section.append(h("h3", {}, tr("Features with the largest effect")), featureWeights(weights));
  section.append(h("h3", {}, tr("Samples with the highest score per class")),
    h("p", {}, tr("Samples of all labels are considered. A sample of another class may still be classified correctly, if the score of its own class is higher.")), topSamples(weights));
  if (pictures && weights.pixels.length) section.append(h("h3", {}, tr("Contribution of each pixel to a score")), pixelMaps(weights));
  const columns = h("div", { class: weights.shown.length > 20 ? "" : "columns" });
  section.append(h("h3", {}, tr("Similarity of the classes")), columns);
  const names = weights.shown.map(className);
  const cosines = weights.cosines.flatMap((row, a) => row.filter((_, b) => b !== a)).sort((a, b) => a - b);
  const most = Math.max(-cosines[0], cosines[cosines.length - 1], 1e-9);
  const cosine = matrix({ title: tr("Cosine similarity of the weights of two classes"), names, size: names.length,
    cell: (a, b) => diverging(a === b ? 1 : (0.85 * weights.cosines[a][b]) / most), text: (a, b) => fixed(weights.cosines[a][b], 2).replace("0.", "."),
    words: tr("From {0} to {1}.", fixed(cosines[0], 2), fixed(cosines[cosines.length - 1], 2)),
    describe: (a, b) => tr("{0} and {1}: cosine {2}", names[a], names[b], fixed(weights.cosines[a][b], 3)), help: tr("Orange: similar; blue: opposite. Point at a cell or use the arrow keys.") });
  if (R.confusion.orders["by confusion"]) cosine.sort(R.confusion.orders["by confusion"]);
  const length = scatter(weights);
  columns.append(cosine, length);
  section.append(note(tr("The mean weights over all classes are subtracted first; this does not change the predictions.")),
    numbers([tr("class"), "‖w‖", ...trs("intercept", "samples")], weights.norms.map((norm, k) => [className(k), num(`weights.norms.${k}`), num(`weights.biases.${k}`), num(`weights.sizes.${k}`, whole)]), { caption: tr("Weights of each class") }));
}

function weightPictures(weights) {
  const { height, width, channels } = weights;
  const size = height * width * channels;
  const count = R.classes.length;
  const steps = [{ reg: R.headline.reg, values: floats(weights.pictures) }, ...weights.along.map((text, k) => ({ reg: weights.along_reg[k], values: floats(text) }))].sort((a, b) => b.reg - a.reg);
  const state = { step: steps.findIndex((step) => step.reg === R.headline.reg), common: 0, first: 0, second: Math.min(1, count - 1) };
  if (R.confusion.pairs.length) [state.first, state.second] = R.confusion.pairs[0];
  const of = (k) => steps[state.step].values.subarray(k * size, (k + 1) * size);
  const grid = h("div", { class: "pictures" }), pair = h("div", { class: "pictures duo" });
  const large = count <= 12 ? 128 : count <= 40 ? 88 : 64;
  function draw() {
    const common = extent(steps[state.step].values);
    grid.replaceChildren(...R.classes.map((name, k) => h("figure", {}, weightPicture(of(k), height, width, channels, state.common ? common : extent(of(k)), tr("Weights of {0}", name), large), h("figcaption", {}, name))));
    drawPair();
  }
  function drawPair() {
    const a = of(state.first), b = of(state.second);
    const difference = a.map((x, i) => x - b[i]);
    const plain = new Float32Array(height * width);
    difference.forEach((x, i) => { plain[Math.floor(i / channels)] += x; });
    const title = `${className(state.first)} − ${className(state.second)}`;
    pair.replaceChildren(...[
      h("figure", {}, weightPicture(difference, height, width, channels, extent(difference), title, 160), h("figcaption", {}, title)),
      channels === 3 ? h("figure", {}, weightPicture(plain, height, width, 1, extent(plain), tr("{0}, sum of the channels", title), 160), h("figcaption", {}, tr("sum of the channels"))) : null].filter(Boolean));
  }
  onTheme(draw);
  const controls = h("div", { class: "controls" }, tabs(tr("Scale"), trs("own scale", "common scale"), (i) => { state.common = i; draw(); }),
    steps.length > 1 ? slider("λ", { min: 0, max: steps.length - 1, step: 1, value: state.step, format: (i) => short(steps[i].reg, 3) }, (i) => { state.step = i; draw(); }) : null);
  const one = choice(tr("Class"), R.classes, (i) => { state.first = i; drawPair(); }, state.first);
  const two = choice(tr("minus"), R.classes, (i) => { state.second = i; drawPair(); }, state.second);
  draw();
  return h("div", {}, controls, grid,
    note(channels === 3 ? tr("Grey: weight 0. A red pixel, for example, has a larger weight for the red channel.") : tr("Orange: positive; blue: negative."),
      weights.reduced ? tr(" The pictures are reduced in size by averaging pixels.") : ""),
    h("h3", {}, tr("Difference of two classes")), h("div", { class: "controls" }, one, two), pair,
    note(tr("The first class has the higher score if the sum of the pixels times this picture, plus the difference of the biases, is positive.")));
}

function featureWeights(weights) {
  const place = h("div", { class: "columns" });
  const most = Math.max(...weights.features.flat().map((entry) => Math.abs(entry.effect)), 1e-300);
  const show = (k) => {
    const rows = weights.features[k].map((entry, i) => ({ entry, path: `weights.features.${k}.${i}` }));
    const side = (caption, sign, kind) => {
      const chosen = rows.filter(({ entry }) => sign * entry.effect > 0);
      if (sign < 0) chosen.reverse();
      const bar = (entry) => h("span", { class: "effect-track" }, h("span", { class: "effect " + kind, style: { width: (100 * Math.abs(entry.effect)) / most + "%" } }));
      return chosen.length ? table([tr("feature"), unseen(tr("bar")), ...trs("weight × s.d.", "weight")], chosen.map(({ entry, path }) => [entry.feature, bar(entry), num(path + ".effect", short, 3), num(path + ".weight", short, 3)]), { caption, left: 2, className: "effects" })
        : h("p", {}, tr("{0}: none", caption));
    };
    place.replaceChildren(side(tr("Positive weight for {0}", className(k)), 1, "for"), side(tr("Negative weight for {0}", className(k)), -1, "against"));
  };
  const pick = choice(tr("Class"), R.classes, show);
  show(0);
  return h("div", {}, h("div", { class: "controls" }, pick), place,
    note(tr("Bars and order: the weight times the standard deviation (s.d.) of the feature on these samples, so that features with different units can be compared. The mean weights over all classes are subtracted first. Correlated features may share their weight in any proportion.")));
}

function topSamples(weights) {
  const place = h("div");
  const named = (k) => [h("h4", {}, className(k)), cards(weights.top[k])];
  const show = (k) => place.replaceChildren(...named(k));
  const pick = choice(tr("Class"), R.classes, show);
  show(0);
  if (R.classes.length > 12) return h("div", {}, h("div", { class: "controls" }, pick), place);
  return h("div", { class: "top-samples" }, R.classes.map((name, k) => h("div", {}, named(k))));
}

function pixelMaps(weights) {
  const place = h("div", { class: "pictures duo" });
  const words = h("p", { "aria-live": "polite" });
  const describe = ({ sample }) => tr("{0}, predicted {1} ({2})", className(R.samples[sample].label), className(R.samples[sample].predicted), R.samples[sample].name);
  function show(k) {
    const entry = weights.pixels[k];
    const sample = R.samples[entry.sample];
    const own = floats(entry.own), other = floats(entry.other);
    const difference = other.map((x, i) => x - own[i]);
    const { map_height: height, map_width: width } = weights;
    const most = Math.max(extent(own), extent(other));
    const total = (values) => values.reduce((a, b) => a + b, 0);
    const map = (values, name, unit, words) => h("figure", {}, weightPicture(values, height, width, 1, unit, words, 144), h("figcaption", {}, name));
    place.replaceChildren(h("figure", {}, thumb(sample.picture, sample.name, 144), h("figcaption", {}, tr("the sample"))),
      map(own, tr("score of {0} (true)", className(sample.label)), most, tr("Contribution of each pixel to the score of {0}", className(sample.label))),
      map(other, tr("score of {0}", className(entry.rival)), most, tr("Contribution of each pixel to the score of {0}", className(entry.rival))),
      map(difference, `${className(entry.rival)} − ${className(sample.label)}`, extent(difference), tr("Contribution of each pixel to {0} minus that to {1}", className(entry.rival), className(sample.label))));
    words.textContent = tr("Score of {0}: pixels {1} + intercept {2} = {3}. ", className(sample.label), fixed(total(own), 3), fixed(weights.biases[sample.label], 3), fixed(total(own) + weights.biases[sample.label], 3))
      + tr("Score of {0}: {1} + {2} = {3}.", className(entry.rival), fixed(total(other), 3), fixed(weights.biases[entry.rival], 3), fixed(total(other) + weights.biases[entry.rival], 3));
  }
  const pick = choice(tr("Sample"), weights.pixels.map(describe), show);
  show(0);
  onTheme(() => show(Number(pick.select.value)));
  return h("div", {}, h("div", { class: "controls" }, pick), place, words);
}

function scatter(weights) {
  const order = [...weights.norms.keys()].sort((a, b) => weights.sizes[a] - weights.sizes[b]);
  const same = new Set(weights.sizes).size === 1;
  const box = h("div", { class: "chart" });
  const readout = readings();
  const title = same ? tr("Norm of the weights of each class (all classes have equally many samples)") : tr("Norm of the weights and number of samples per class ({0})", weights.sizes_of);
  if (same) order.sort((a, b) => weights.norms[a] - weights.norms[b]);
  responsive(box, (width) => {
    const height = 300, left = 58, right = 16, top = 12, bottom = 40;
    const xs = order.map((k, i) => (same ? i : weights.sizes[k]));
    const x = scale(xs, left + 8, width - right - 8, false);
    const y = scale([0, 1.12 * Math.max(...weights.norms)], height - bottom, top, false);
    const anchor = (i) => (i === 0 ? "start" : i === order.length - 1 ? "end" : "middle");
    // The space for a name: up to its neighbours at a similar height, and to the edges.
    const space = (i) => {
      const here = x(xs[i]), part = anchor(i) === "middle" ? 1 : 0.5;
      const free = anchor(i) === "middle" ? 2 * Math.min(here - left, width - here) : anchor(i) === "start" ? width - here : here - left;
      return order.reduce((least, k, j) => (j === i || Math.abs(y(weights.norms[k]) - y(weights.norms[order[i]])) > 14 ? least : Math.min(least, part * Math.abs(x(xs[j]) - here))), free);
    };
    const size = (k) => `${className(k)} ${short(weights.norms[k], 3)}`;
    const byNorm = [...order].sort((a, b) => weights.norms[a] - weights.norms[b]);
    const say = (i) => { readout.textContent = tr("{0}: ‖w‖ {1}, {2} samples ({3})", className(order[i]), short(weights.norms[order[i]]), whole(weights.sizes[order[i]]), weights.sizes_of); };
    const near = (over, down) => nearest(order, (k, i) => Math.hypot(x(xs[i]) - over, y(weights.norms[k]) - down));
    box.replaceChildren(chart(width, height, tr("{0}. From {1} to {2}.", title, size(byNorm[0]), size(byNorm[byNorm.length - 1])), { count: order.length, near, say },
      ticks(y.low, y.high, 5).map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }), s("text", { class: "tick", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, short(t, 3))]),
      same ? null : ticks(x.low, x.high, width / 90).map((t) => s("text", { class: "tick", x: x(t), y: height - bottom + 18, "text-anchor": "middle" }, whole(t))),
      s("text", { class: "axis", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, same ? tr("classes, by norm") : tr("samples of the class")),
      s("text", { class: "axis", transform: `translate(13 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, "‖w‖"),
      order.map((k, i) => s("circle", { class: "dot scatter", cx: x(xs[i]), cy: y(weights.norms[k]), r: 5, style: { "--key": "var(--c1)" } }, s("title", {}, tr("{0}: {1}", className(k), short(weights.norms[k]))))),
      order.length > 20 ? null : order.map((k, i) => {
        const name = className(k), at_ = x(xs[i]), letters = Math.floor(space(i) / 7);
        if (letters < Math.min(4, span(name))) return null;
        return s("text", { class: "tick point-name", x: at_, y: y(weights.norms[k]) - 10, "text-anchor": anchor(i) }, shortened(name, letters));
      })));
  });
  return h("figure", {}, h("figcaption", {}, title), box, readout);
}
