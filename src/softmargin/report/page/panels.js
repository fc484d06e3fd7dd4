// The panels, from top to bottom. They draw what the record holds; what is null is left out.
const COLORS = ["--c1", "--c2", "--c3", "--c4"];
const colorOf = (loss) => ({ cross_entropy: "--c1", hinge: "--c2", squared_hinge: "--c3" })[loss] || "--c4";
const MODEL_IS_SOFT = R.headline.loss === "cross_entropy";

function headlinePanel() {
  const { headline, certificate, origin } = R;
  const big = h("div", { class: "big" }, num("headline.accuracy.value", percent, 2), h("span", { class: "big-name" }, "accuracy"));
  const bounds = [{ name: "this model", share: headline.accuracy, strong: true },
    ...headline.baselines.map((baseline) => ({ name: baseline.name, share: baseline.share }))];
  panel("good", "How good is it?", null,
    headline.warnings.map((words) => h("p", { class: "warning", role: "note" }, words)),
    h("div", { class: "columns" },
      h("div", {}, big,
        headline.on_training ? h("p", {}, "of the ", num("headline.accuracy.n", whole), headline.accuracy.n === 1 ? " sample" : " samples", " that the model was trained on: no measure of how it does on new ones.")
          : h("p", {}, "of ", num("headline.accuracy.n", whole), headline.accuracy.n === 1 ? " sample that was judged" : " samples that were judged", "; between ", num("headline.accuracy.low", percent, 2),
          " and ", num("headline.accuracy.high", percent, 2), " with 95\u00a0% confidence (Wilson)."),
        dotPlot({ title: "Against rules that need no training", rows: bounds, height: 30, labelWidth: 120 }),
        facts([["Loss", lossName(headline.loss)], ["λ (reg)", num("headline.reg", short, 6)],
          headline.delta === null ? null : ["Δ (margin asked for)", num("headline.delta")],
          ["Mean loss here", num("headline.mean_loss")],
          headline.training_accuracy === null ? null : ["Accuracy on training data", num("headline.training_accuracy", percent, 2)]])),
      h("div", { class: "certificate " + (certificate.converged ? "proved" : "unproved") },
        h("h3", {}, certificate.converged ? "Proved optimal, within " : "Not converged: gap ", num("certificate.gap", short, 3)),
        h("p", {}, certificate.words),
        facts([["Objective F = mean loss + λΣW²", num("certificate.value", short, 8)], ["Proved lower bound", num("certificate.lower_bound", short, 8)],
          ["Gap", num("certificate.gap", short, 3)], ["Asked for", num("certificate.tol")],
          ["Data loss + penalty", h("span", {}, num("headline.data_loss", short, 4), " + ", num("headline.penalty", short, 4))],
          ["Work", h("span", {}, num("certificate.n_passes", whole), " passes, ", num("certificate.seconds", short, 3), "\u00a0s")]]),
        h("p", { class: "note" }, "The proof is about the training objective, not about new samples", R.headline.on_training ? ": data that the model has not seen tell of those." : ": those are what the accuracy is for."))),
    recalls(),
    h("details", { class: "numbers reproduce" }, h("summary", {}, "How to reproduce this"),
      h("pre", {}, origin.commands.join("\n")),
      facts([["Model file", origin.model], ["Judged on", `${origin.data}, ${whole(origin.n_samples)} samples, ${whole(origin.n_features)} features`],
        ["Fingerprint of these", h("code", {}, origin.fingerprint)],
        ["Trained on", `${origin.trained_on}, ${whole(origin.n_training)} samples, scaling ${origin.scaling}`],
        ["Fingerprint of those", h("code", {}, origin.training_fingerprint)],
        ["Fitted", moment(origin.fitted)], ["Versions", Object.entries(origin.versions).map(([name, v]) => `${name} ${v}`).join(", ")]])));
}

function recalls() {
  const rows = R.headline.recalls.map((share, k) => ({ name: className(k), share, k }));
  const worst = [...rows].sort((a, b) => (a.share.value ?? 2) - (b.share.value ?? 2));
  const many = rows.length > 24;
  const place = many ? scrolls("Recall of each class", { class: "tall" }) : h("div");
  const show = (i) => place.replaceChildren(dotPlot({ title: "Recall: of the samples of a class, the share that is found", rows: i ? rows : worst, labelWidth: many ? 260 : 150 }));
  show(0);
  return [tabs("Order of classes", ["worst first", "as they come"], show), place,
    numbers(["class", "samples", "right", "recall", "from", "to"], rows.map(({ name, share, k }) => [name, whole(share.n),
      whole(share.n_right), share.value === null ? "–" : num(`headline.recalls.${k}.value`, percent, 2), percent(share.low, 2), percent(share.high, 2)]), { caption: R.headline.on_training ? "Recall of each class on the training data" : "Recall of each class with its interval of 95 %" })];
}

function answersPanel() {
  panel("answers", "In short", null,
    R.headline.on_training ? h("p", { class: "warning", role: "note" }, "Judged on the training data: nothing below tells how good the model is on samples that it has not seen.") : null,
    h("dl", { class: "answers" }, R.headline.answers.map(([question, answer], k, all) =>
    h("div", {}, h("dt", {}, question), h("dd", {}, answer, k === all.length - 1 && R.worst.length ? sampleCard(R.worst[0], h("span", { class: "muted" }, "written out, term by term")) : null)))));
}

function pathPanel() {
  const path = R.path;
  if (!path) return;
  const section = panel("path", "How λ was chosen", "Each loss was fitted along a path of λ without some of the training data, and judged on those. From left to right the penalty weakens.");
  if (path.words) section.append(h("p", {}, path.words));
  for (const curve of path.curves) if (curve.warning) section.append(h("p", { class: "warning" }, `${lossName(curve.loss)}: ${curve.warning}`));
  const marks = path.curves.flatMap((curve) => [
    { x: curve.reg[curve.best], y: curve.validation_accuracy[curve.best], color: colorOf(curve.loss) },
    curve.one_se === null ? null : { x: curve.reg[curve.one_se], y: curve.validation_accuracy[curve.one_se], color: colorOf(curve.loss), hollow: true }]).filter(Boolean);
  section.append(lineChart({ title: "Accuracy on held-out samples along the path (band: one standard error)", xLog: true, reverse: true, xLabel: "λ", yLabel: "accuracy", yFormat: percent, marks, height: 300,
    series: path.curves.map((curve) => ({ name: lossName(curve.loss), color: colorOf(curve.loss), x: curve.reg, y: curve.validation_accuracy, low: curve.low, high: curve.high, dots: true })) }));
  section.append(note("● best λ of a loss", path.curves.some((curve) => curve.one_se !== null) ? "; ◇ one-standard-error choice" : "", "."));
  const detail = h("div", { class: "columns" });
  const show = (i) => {
    const curve = path.curves[i];
    const color = colorOf(curve.loss);
    const x = curve.reg;
    const choose = [{ x: curve.reg[curve.best], text: "best" }];
    const parts = [curve.training_accuracy.length ? lineChart({ title: `${lossName(curve.loss)}: training and held-out accuracy`, xLog: true, reverse: true, xLabel: "λ", yLabel: "accuracy", yFormat: percent, marks: choose,
      series: [{ name: "training", color, x, y: curve.training_accuracy, dash: true }, { name: "held out", color, x, y: curve.validation_accuracy, dots: true }] }) : null,
    curve.validation_loss.length ? lineChart({ title: `${lossName(curve.loss)}: mean loss`, xLog: true, reverse: true, xLabel: "λ", yLabel: "mean loss", marks: choose,
      series: [curve.training_loss.length ? { name: "training", color, x, y: curve.training_loss, dash: true } : null, { name: "held out", color, x, y: curve.validation_loss, dots: true }].filter(Boolean) }) : null,
    curve.penalty.length ? lineChart({ title: `${lossName(curve.loss)}: data loss against λΣW²`, xLog: true, reverse: true, xLabel: "λ", yLabel: "part of the objective", marks: choose,
      series: [{ name: "data loss", color, x, y: curve.training_loss }, { name: "λΣW²", color: "--c4", x, y: curve.penalty }] }) : null];
    detail.replaceChildren(...parts.filter(Boolean), numbers(["λ", "training accuracy", "held-out accuracy", "held-out loss"], curve.reg.map((reg, k) => [short(reg),
      percent(curve.training_accuracy[k] ?? null, 2), percent(curve.validation_accuracy[k], 2), short(curve.validation_loss[k])]), { caption: `Path of ${lossName(curve.loss)}`, left: 0 }));
  };
  const first = Math.max(0, path.curves.findIndex((curve) => curve.loss === path.loss));
  section.append(tabs("Loss", path.curves.map((curve) => lossName(curve.loss)), show, first), detail);
  show(first);
}

function convergencePanel() {
  const c = R.convergence;
  if (!c) return;
  const known = new Set(c.n_passes.filter((_, k) => c.value[k] !== null)).size;
  panel("convergence", "How the fit went", "A pass is one reading of the training data. The objective comes down, the proved bound comes up; the true minimum lies between them.",
    h("div", { class: known > 1 ? "columns" : "" },
      known > 1 ? lineChart({ title: "Objective and best proved bound", xLabel: "passes", yLabel: "F", series: [
        { name: "objective", color: "--c1", x: c.n_passes, y: c.value, dots: true }, { name: "proved bound", color: "--c3", x: c.n_passes, y: c.lower_bound, dots: true }], yFormat: (x) => short(x, 6) }) : null,
      lineChart({ title: "Relative gap: proved, and what the solver expected", xLabel: "passes", yLabel: "gap", yLog: true, series: [
        { name: "expected (no proof)", color: "--c4", x: c.n_passes, y: c.estimate, dash: true },
        { name: "proved", color: "--c1", x: c.n_passes, y: c.gap, dots: true }], yFormat: (x) => short(x, 3) })),
    note("A bound costs work of its own, so a solver proves one only when it expects to be near."),
    numbers(["pass", "seconds", "objective", "bound", "gap", "expected"], c.n_passes.map((n, k) => [short(n, 5), fixed(c.seconds[k], 3),
      num(`convergence.value.${k}`, short, 8), num(`convergence.lower_bound.${k}`, short, 8), num(`convergence.gap.${k}`, short, 3), num(`convergence.estimate.${k}`, short, 3)]), { caption: "Steps of the fit", left: 0 }));
}

function rivalsPanel() {
  const rivals = R.rivals;
  if (!rivals) return;
  const name = (k) => lossName(rivals.models[k].loss);
  const label = (k) => (rivals.models.filter((m) => m.loss === rivals.models[k].loss).length > 1 ? `${name(k)} (λ ${short(rivals.models[k].reg, 3)})` : name(k));
  const said = (p) => (p < 0.001 ? "hardly chance" : p < 0.05 ? "probably not chance" : "may well be chance");
  panel("losses", "The losses side by side", "The same samples, judged by models of other losses that were fitted to the same training data.",
    dotPlot({ title: "Accuracy", rows: rivals.models.map((m, k) => ({ name: label(k), share: m.accuracy, strong: k === 0 })), height: 32 }),
    table(["loss", "λ", "gap", "accuracy", "inside the margin", "median margin"], rivals.models.map((m, k) => [label(k), num(`rivals.models.${k}.reg`, short, 3),
      num(`rivals.models.${k}.gap`, short, 2), num(`rivals.models.${k}.accuracy.value`, percent, 2), num(`rivals.models.${k}.inside`, percent), num(`rivals.models.${k}.margin`, short, 3)]), { caption: "Models on these samples" }),
    h("h3", {}, "Is the difference chance?"),
    table(["pair", "only the first is right", "only the second", "p", "difference"], rivals.tests.map((t, k) => [`${label(t.first)} and ${label(t.second)}`,
      num(`rivals.tests.${k}.only_first`, whole), num(`rivals.tests.${k}.only_second`, whole), num(`rivals.tests.${k}.p_value`, short, 2), said(t.p_value)]), { caption: "McNemar's test (mid-p, from the exact binomial distribution) on the samples where they differ" }),
    h("h3", {}, "Where they disagree"), h("p", {}, num("rivals.n_disagreements", whole), rivals.n_disagreements === 1 ? " sample gets" : " samples get", " different answers. The first are those that this model has wrong and another right."),
    h("div", { class: "cards" }, rivals.disagreements.map((d) => sampleCard(d.sample, h("span", { class: "answers-list" }, d.predicted.map((k, m) =>
      h("span", { class: k === R.samples[d.sample].label ? "right" : "wrong" }, `${k === R.samples[d.sample].label ? "✓" : "✗"} ${label(m)}: ${className(k)}`)))))));
}

// -- what it looks at -------------------------------------------------------------------------------------

const WARM = [222, 98, 26], COLD = [36, 99, 214];
const diverging = (t) => mix(rgb("--card"), t < 0 ? COLD : WARM, Math.min(1, Math.abs(t)));

// A picture of values: channels of 3 as colours around grey, 1 as cold (negative) to warm (positive).
function weightPicture(values, height, width, channels, most, label, size) {
  const canvas = h("canvas", { class: "weights", width, height, role: "img", "aria-label": label });
  const factor = size / Math.max(width, height);
  canvas.style.width = width * factor + "px";
  canvas.style.height = height * factor + "px";
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const unit = most || 1;
  for (let p = 0; p < width * height; p++) {
    const color = channels === 3
      ? [0, 1, 2].map((k) => 127.5 + (127.5 * values[3 * p + k]) / unit)
      : diverging(values[p] / unit);
    for (let k = 0; k < 3; k++) image.data[4 * p + k] = color[k];
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
// The largest size but for one value in two hundred: a few extreme pixels must not grey out all others.
function extent(values) {
  const sizes = Float32Array.from(values, Math.abs).sort();
  return sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
}

function looksPanel() {
  const looks = R.looks;
  const pictures = looks.weights !== "";
  const section = panel("looks", "What it looks at", pictures
    ? "The score of a class is the picture times the class's weights, pixel by pixel, plus its bias. So the weights are a picture too: where they are positive, brightness speaks for the class; where they are negative, against it."
    : "The score of a class is the sum of the features times the class's weights, plus its bias. Shown are " + (looks.features.length ? "the features that move each score most, " : "") + "the samples that please each class most, which classes point the same way and how long their weights are.");
  if (pictures) section.append(weightPictures(looks));
  if (looks.features.length) section.append(h("h3", {}, "Which features speak for a class"), featureWeights(looks));
  section.append(h("h3", {}, "What pleases each class most"),
    h("p", {}, "The samples with the largest score of each class, whatever their label. One of another class stands here where it pleases this class, too; it may still be right, if its own class scores more."), favourites(looks));
  if (pictures && looks.pixels.length) section.append(h("h3", {}, "Which pixels gave the score"), pixelMaps(looks));
  const columns = h("div", { class: looks.shown.length > 20 ? "" : "columns" });
  section.append(h("h3", {}, "Which classes are alike"), columns);
  const names = looks.shown.map(className);
  const cosines = looks.cosines.flatMap((row, a) => row.filter((_, b) => b !== a)).sort((a, b) => a - b);
  const most = Math.max(-cosines[0], cosines[cosines.length - 1], 1e-9);
  const cosine = matrix({ title: "Cosine between the weights of two classes", names, size: names.length,
    cell: (a, b) => diverging(a === b ? 1 : (0.85 * looks.cosines[a][b]) / most), text: (a, b) => fixed(looks.cosines[a][b], 2).replace("0.", "."),
    words: `From ${fixed(cosines[0], 2)} to ${fixed(cosines[cosines.length - 1], 2)}.`,
    describe: (a, b) => `${names[a]} and ${names[b]}: cosine ${fixed(looks.cosines[a][b], 3)}`, help: "Warm: the same way; cold: opposite ways. Move over a cell or use the arrow keys." });
  if (R.confusion.orders["by confusion"]) cosine.sort(R.confusion.orders["by confusion"]);
  const length = scatter(looks);
  columns.append(cosine, length);
  section.append(note("The mean over classes is taken off the weights first: a vector added to all of them changes no decision."),
    numbers(["class", "‖w‖", "bias", "samples"], looks.norms.map((norm, k) => [className(k), num(`looks.norms.${k}`), num(`looks.biases.${k}`), num(`looks.sizes.${k}`, whole)]), { caption: "Weights of each class" }));
}

function weightPictures(looks) {
  const { height, width, channels } = looks;
  const size = height * width * channels;
  const count = R.classes.length;
  const steps = [{ reg: R.headline.reg, values: floats(looks.weights) }, ...looks.along.map((text, k) => ({ reg: looks.along_reg[k], values: floats(text) }))].sort((a, b) => b.reg - a.reg);
  const state = { step: steps.findIndex((step) => step.reg === R.headline.reg), common: 0, first: 0, second: Math.min(1, count - 1) };
  if (R.confusion.pairs.length) [state.first, state.second] = R.confusion.pairs[0];
  const of = (k) => steps[state.step].values.subarray(k * size, (k + 1) * size);
  const grid = h("div", { class: "pictures" }), pair = h("div", { class: "pictures duo" });
  const large = count <= 12 ? 128 : count <= 40 ? 88 : 64;
  function draw() {
    const common = extent(steps[state.step].values);
    grid.replaceChildren(...R.classes.map((name, k) => h("figure", {}, weightPicture(of(k), height, width, channels, state.common ? common : extent(of(k)), `Weights of ${name}`, large), h("figcaption", {}, name))));
    drawPair();
  }
  function drawPair() {
    const a = of(state.first), b = of(state.second);
    const difference = a.map((x, i) => x - b[i]);
    const plain = new Float32Array(height * width);
    difference.forEach((x, i) => { plain[Math.floor(i / channels)] += x; });
    const title = `${className(state.first)} less ${className(state.second)}`;
    pair.replaceChildren(...[
      h("figure", {}, weightPicture(difference, height, width, channels, extent(difference), title, 160), h("figcaption", {}, title)),
      channels === 3 ? h("figure", {}, weightPicture(plain, height, width, 1, extent(plain), title + ", channels added", 160), h("figcaption", {}, "channels added")) : null].filter(Boolean));
  }
  onTheme(draw);
  const controls = h("div", { class: "controls" }, tabs("Scale", ["own scale", "common scale"], (i) => { state.common = i; draw(); }),
    steps.length > 1 ? slider("λ", { min: 0, max: steps.length - 1, step: 1, value: state.step, format: (i) => short(steps[i].reg, 3) }, (i) => { state.step = i; draw(); }) : null);
  const one = choice("Difference of", R.classes, (i) => { state.first = i; drawPair(); }, state.first);
  const two = choice("and", R.classes, (i) => { state.second = i; drawPair(); }, state.second);
  draw();
  return h("div", {}, controls, grid,
    note(channels === 3 ? "Grey is no weight; a pixel that is red, say, has weights that like red there." : "Warm is positive, cold negative, white (or black) none.",
      looks.reduced ? " Pixels are averaged to make the pictures smaller." : ""),
    h("h3", {}, "What tells two classes apart"), h("div", { class: "controls" }, one, two), pair,
    note("A sample goes to the first class rather than the second where the sum of its pixels times this picture, plus the difference of the biases, is positive."));
}

function featureWeights(looks) {
  const place = h("div", { class: "columns" });
  const most = Math.max(...looks.features.flat().map((entry) => Math.abs(entry.effect)), 1e-300);
  const show = (k) => {
    const rows = looks.features[k].map((entry, i) => ({ entry, path: `looks.features.${k}.${i}` }));
    const side = (caption, sign, kind) => {
      const chosen = rows.filter(({ entry }) => sign * entry.effect > 0);
      if (sign < 0) chosen.reverse();
      const bar = (entry) => h("span", { class: "effect-room" }, h("span", { class: "effect " + kind, style: { width: (100 * Math.abs(entry.effect)) / most + "%" } }));
      return chosen.length ? table(["feature", unseen("bar"), "weight × s.d.", "weight"], chosen.map(({ entry, path }) => [entry.feature, bar(entry), num(path + ".effect", short, 3), num(path + ".weight", short, 3)]), { caption, left: 2, className: "effects" })
        : h("p", {}, caption, ": none");
    };
    place.replaceChildren(side(`For ${className(k)}`, 1, "for"), side(`Against ${className(k)}`, -1, "against"));
  };
  const pick = choice("Class", R.classes, show);
  show(0);
  return h("div", {}, h("div", { class: "controls" }, pick), place,
    note("Bars and order: the weight times the standard deviation (s.d.) of the feature on the samples judged, so that features of different units can be compared. The mean over classes is taken off the weights first: it changes no decision. Where features go together, the weight may lie on any of them."));
}

function favourites(looks) {
  const place = h("div");
  const named = (k) => [h("h4", {}, className(k)), cards(looks.top[k])];
  const show = (k) => place.replaceChildren(...named(k));
  const pick = choice("Class", R.classes, show);
  show(0);
  if (R.classes.length > 12) return h("div", {}, h("div", { class: "controls" }, pick), place);
  return h("div", { class: "favourites" }, R.classes.map((name, k) => h("div", {}, named(k))));
}

function pixelMaps(looks) {
  const place = h("div", { class: "pictures duo" });
  const words = h("p", { "aria-live": "polite" });
  const describe = ({ sample }) => `${className(R.samples[sample].label)}, taken for ${className(R.samples[sample].predicted)} (${R.samples[sample].name})`;
  function show(k) {
    const entry = looks.pixels[k];
    const sample = R.samples[entry.sample];
    const own = floats(entry.own), other = floats(entry.other);
    const difference = other.map((x, i) => x - own[i]);
    const { map_height: height, map_width: width } = looks;
    const most = Math.max(extent(own), extent(other));
    const total = (values) => values.reduce((a, b) => a + b, 0);
    const map = (values, name, unit, words) => h("figure", {}, weightPicture(values, height, width, 1, unit, words, 144), h("figcaption", {}, name));
    place.replaceChildren(h("figure", {}, thumb(sample.picture, sample.name, 144), h("figcaption", {}, "the sample")),
      map(own, `for ${className(sample.label)} (true)`, most, `What each pixel adds to the score of ${className(sample.label)}`),
      map(other, `for ${className(entry.rival)}`, most, `What each pixel adds to the score of ${className(entry.rival)}`),
      map(difference, `${className(entry.rival)} less ${className(sample.label)}`, extent(difference), `What each pixel adds to ${className(entry.rival)} more than to ${className(sample.label)}`));
    words.textContent = `Score of ${className(sample.label)}: pixels ${fixed(total(own), 3)} + bias ${fixed(looks.biases[sample.label], 3)} = ${fixed(total(own) + looks.biases[sample.label], 3)}. `
      + `Score of ${className(entry.rival)}: ${fixed(total(other), 3)} + ${fixed(looks.biases[entry.rival], 3)} = ${fixed(total(other) + looks.biases[entry.rival], 3)}.`;
  }
  const pick = choice("Sample", looks.pixels.map(describe), show);
  show(0);
  onTheme(() => show(Number(pick.select.value)));
  return h("div", {}, h("div", { class: "controls" }, pick), place, words);
}

function scatter(looks) {
  const order = [...looks.norms.keys()].sort((a, b) => looks.sizes[a] - looks.sizes[b]);
  const same = new Set(looks.sizes).size === 1;
  const box = h("div", { class: "chart" });
  const readout = readings();
  const title = same ? "Length of the weights of each class (all have as many samples)" : `Length of the weights against samples of the class (${looks.sizes_of})`;
  if (same) order.sort((a, b) => looks.norms[a] - looks.norms[b]);
  responsive(box, (width) => {
    const height = 300, left = 58, right = 16, top = 12, bottom = 40;
    const xs = order.map((k, i) => (same ? i : looks.sizes[k]));
    const x = scale(xs, left + 8, width - right - 8, false);
    const y = scale([0, 1.12 * Math.max(...looks.norms)], height - bottom, top, false);
    const anchor = (i) => (i === 0 ? "start" : i === order.length - 1 ? "end" : "middle");
    // The room of a name: to the names at about its height, and to the edges.
    const room = (i) => {
      const here = x(xs[i]), part = anchor(i) === "middle" ? 1 : 0.5;
      const free = anchor(i) === "middle" ? 2 * Math.min(here - left, width - here) : anchor(i) === "start" ? width - here : here - left;
      return order.reduce((least, k, j) => (j === i || Math.abs(y(looks.norms[k]) - y(looks.norms[order[i]])) > 14 ? least : Math.min(least, part * Math.abs(x(xs[j]) - here))), free);
    };
    const size = (k) => `${className(k)} ${short(looks.norms[k], 3)}`;
    const byNorm = [...order].sort((a, b) => looks.norms[a] - looks.norms[b]);
    const say = (i) => { readout.textContent = `${className(order[i])}: ‖w‖ ${short(looks.norms[order[i]])}, ${whole(looks.sizes[order[i]])} samples in ${looks.sizes_of}`; };
    const near = (over, down) => nearest(order, (k, i) => Math.hypot(x(xs[i]) - over, y(looks.norms[k]) - down));
    box.replaceChildren(chart(width, height, `${title}. From ${size(byNorm[0])} to ${size(byNorm[byNorm.length - 1])}.`, { count: order.length, near, say },
      ticks(y.low, y.high, 5).map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }), s("text", { class: "tick", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, short(t, 3))]),
      same ? null : ticks(x.low, x.high, width / 90).map((t) => s("text", { class: "tick", x: x(t), y: height - bottom + 18, "text-anchor": "middle" }, whole(t))),
      s("text", { class: "axis", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, same ? "classes, by length" : "samples of the class"),
      s("text", { class: "axis", transform: `translate(13 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, "‖w‖"),
      order.map((k, i) => s("circle", { class: "dot scatter", cx: x(xs[i]), cy: y(looks.norms[k]), r: 5, style: { "--key": "var(--c1)" } }, s("title", {}, `${className(k)}: ${short(looks.norms[k])}`))),
      order.length > 20 ? null : order.map((k, i) => {
        const name = className(k), at_ = x(xs[i]), letters = Math.max(4, Math.floor(room(i) / 7));
        return s("text", { class: "tick point-name", x: at_, y: y(looks.norms[k]) - 10, "text-anchor": anchor(i) }, name.length > letters ? name.slice(0, letters - 1) + "…" : name);
      })));
  });
  return h("figure", {}, h("figcaption", {}, title), box, readout);
}

// -- where it fails ---------------------------------------------------------------------------------------

function worstPanel() {
  const place = detail();
  const list = scrolls("The worst samples", { class: "cards strip" });
  const buttons = R.worst.map((i) => {
    const card = sampleCard(i);
    const copy = button([...card.childNodes], () => show(i, copy), { class: "sample", "aria-pressed": false, title: card.title });
    list.append(copy);
    return copy;
  });
  function show(i, chosen) {
    buttons.forEach((b) => b.setAttribute("aria-pressed", b === chosen));
    place.show(R.samples[i].name, writtenOut(i));
  }
  panel("worst", "The costliest samples", [`The ${whole(R.worst.length)} samples of largest loss. `, onScreen("Choose one to see its loss written out, term by term.")], list, place);
  if (R.worst.length) show(R.worst[0], buttons[0]);
}

function confusionPanel() {
  const { shown, counts, orders, pairs, cells } = R.confusion;
  const names = shown.map(className);
  const totals = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const place = detail();
  const state = { share: false };
  const rate = (a, b) => (totals[a] ? counts[a][b] / totals[a] : 0);
  const top = Math.max(...counts.map((row, a) => Math.max(0, ...row.filter((n, b) => b !== a))), 1);
  const color = (a, b) => {
    if (!counts[a][b]) return rgb("--empty");
    if (a === b) return mix(rgb("--empty"), rgb("--good"), 0.18 + 0.82 * rate(a, a));
    return mix(rgb("--empty"), rgb("--bad"), 0.14 + 0.86 * Math.sqrt(counts[a][b] / top));
  };
  function pick(a, b) {
    const [true_, said] = [shown[a], shown[b]];
    const list = cells[`${true_},${said}`] || [];
    const n = counts[a][b];
    place.show(a === b ? `${names[a]}, found: ${whole(n)}` : `${names[a]}, taken for ${names[b]}: ${whole(n)}`,
      n === 0 ? h("p", {}, "No samples.") : h("p", { class: "muted" }, list.length < n ? `The ${whole(list.length)} costliest of ${whole(n)}.` : n === 1 ? "The only one." : `All ${whole(n)}, costliest first.`), cards(list));
  }
  const grid = matrix({ title: "Rows are true, columns are what the model said", names, size: names.length, cell: color,
    text: (a, b) => (counts[a][b] ? (state.share ? (100 * rate(a, b)).toFixed(0) : whole(counts[a][b])) : ""),
    describe: (a, b) => `True ${names[a]}, said ${names[b]}: ${whole(counts[a][b])} of ${whole(totals[a])} (${percent(rate(a, b))})`, pick,
    words: `${percent(R.headline.accuracy.value)} of the samples are on the diagonal.`,
    help: "Click a cell, or use the arrow keys and Enter, to see its samples." });
  const orderNames = Object.keys(orders);
  const first = names.length > 20 && orders["by confusion"] ? orderNames.indexOf("by confusion") : 0;
  const sort = choice("Sort", orderNames, (i) => grid.sort(orders[orderNames[i]]), first);
  grid.sort(orders[orderNames[first]]);
  const units = tabs("Numbers", ["counts", "% of the row"], (i) => { state.share = i === 1; grid.sort(grid.state.order); });
  const list = h("ol", { class: "pairs" }, pairs.slice(0, 12).map(([a, b, n, back], k) => h("li", {}, button([
    h("span", {}, h("b", {}, className(a)), " ", takenFor(h("b", {}, className(b)))), h("span", { class: "muted" }, num(`confusion.pairs.${k}.2`, whole), n === 1 ? " time; the other way " : " times; the other way ", num(`confusion.pairs.${k}.3`, whole))],
  () => { const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }, { class: "pair" }))));
  panel("confusion", "What is taken for what", shown.length < R.classes.length ? `The ${whole(shown.length)} classes with most errors, of ${whole(R.classes.length)}.` : null,
    h("div", { class: "controls" }, sort, units),
    h("div", { class: names.length > 40 ? "" : "columns wide-left" }, grid, h("div", {}, h("h3", {}, "Most confused, one way"), pairs.length ? list : h("p", {}, "Nothing was confused."))), place,
    numbers(["true", "said", "times", "the other way"], pairs.map(([a, b, n, back]) => [className(a), className(b), whole(n), whole(back)]), { caption: "Most confused pairs", left: 2 }));
  if (pairs.length) { const [a, b] = pairs[0]; const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }
}

function marginsPanel() {
  const m = R.margins;
  const total = m.counts[0].map((_, i) => m.counts.reduce((sum, row) => sum + row[i], 0));
  const marks = [{ x: 0, text: m.delta === null ? "0: wrong to the left" : "0" }];
  if (m.delta !== null) marks.push({ x: m.delta, text: `Δ = ${short(m.delta)}` });
  const bars = histogram({ title: "How many samples have which margin", edges: m.edges, counts: total, marks, xLabel: "margin" });
  const words = h("p", { "aria-live": "polite" });
  const show = (i) => {
    const k = i - 1;
    bars.set(i ? m.counts[k] : total);
    const who = i ? `the samples of ${className(k)}` : "all samples";
    const wrong = i ? m.wrong[k] : m.all_wrong, inside = i ? m.inside[k] : m.all_inside;
    const path = (name) => (i ? `margins.${name}.${k}` : `margins.all_${name}`);
    words.replaceChildren(`Of ${who}, `, num(path("wrong"), percent), " are wrong (a margin below 0)", m.delta === null ? "." : "; ",
      m.delta === null ? "" : num(path("inside"), percent), m.delta === null ? "" : ` lie inside the margin (below Δ = ${short(m.delta)}) and pay for it.`);
  };
  panel("margins", "Margins", m.delta === null ? "The margin is the score of the true class less the largest other score. Cross-entropy asks for no particular margin: every sample pays something, less the further it is ahead."
    : "The margin is the score of the true class less the largest other score. Only samples whose margin is below Δ pay anything.",
  h("div", { class: "controls" }, choice("Class", ["all", ...R.classes], show)), bars, words,
  numbers(["from", "to", "samples"], total.map((n, i) => [short(m.edges[i], 3), short(m.edges[i + 1], 3), whole(n)]), { caption: "Margins of all samples", left: 0 }));
  show(0);
}

// -- trust ------------------------------------------------------------------------------------------------

function calibrationPanel() {
  const c = R.calibration;
  const curve = (name, path, color, dash) => ({ name, color, dash, dots: true, x: c[path].bins.map((bin) => bin.confidence), y: c[path].bins.map((bin) => bin.accuracy) });
  const state = [curve("before", "before", "--c1"), curve("after temperature", "after", "--c2", true)];
  panel("trust", "Can its confidence be trusted?", c.words,
    h("div", { class: "columns" },
      h("div", {}, lineChart({ title: "Reliability: on the diagonal confidence is what it says", diagonal: true, xLabel: "confidence", yLabel: "share that is right", xFormat: percent, yFormat: percent, xRange: [0, 1], yRange: [0, 1], height: 320, series: state }),
        table(["scores", "ECE", `mean of ${MINUS}ln p of the true class`], [["before", num("calibration.before.ece", percent, 2), num("calibration.before.mean_loss")],
          ["after temperature", num("calibration.after.ece", percent, 2), num("calibration.after.mean_loss")]], { caption: "Calibration" }),
        note("Temperatures of the two halves: ", num("calibration.temperatures.0", short, 4), " and ", num("calibration.temperatures.1", short, 4), "; each is fitted on one half and judged on the other.", c.probabilistic ? "" : " The loss of this model gives no probabilities; these are the softmax of its scores."),
        numbers(["confidence from", "to", "samples", "mean confidence", "right"], c.before.bins.map((bin, k) => [percent(bin.low, 0), percent(bin.high, 0), num(`calibration.before.bins.${k}.n`, whole), num(`calibration.before.bins.${k}.confidence`, percent), num(`calibration.before.bins.${k}.accuracy`, percent)]), { caption: "Reliability before temperature", left: 0 })),
      h("div", {}, lineChart({ title: "Risk and coverage: answering only when sure", xLabel: "share of samples answered", yLabel: "share of answers wrong", xFormat: percent, yFormat: percent, xRange: [0, 1], height: 320,
        series: [{ name: c.probabilistic ? "surest first, by probability" : "surest first, by the lead of the best score", color: "--c1", x: c.coverage, y: c.risk }] }),
      note("Area under the curve: ", num("calibration.area", short, 4), ". With a model that cannot tell easy from hard the curve is flat."),
      numbers(["answered", "of these wrong"], c.coverage.map((share, k) => [percent(share), percent(c.risk[k], 2)]), { caption: "Risk and coverage", left: 0 }))));
}

function suspectsPanel() {
  const suspects = R.suspects;
  const section = panel("suspects", "Is the data right?", suspects.words);
  if (suspects.labels.length) {
    section.append(h("h3", {}, "Labels that are probably wrong"),
      h("div", { class: "cards" }, suspects.labels.map((suspect, k) => sampleCard(suspect.sample, h("span", { class: "muted" }, num(`suspects.labels.${k}.probability`, percent, 0), " against ", num(`suspects.labels.${k}.given`, percent, 1))))));
  }
  if (suspects.duplicates.length) {
    const who = (name, label, picture) => h("span", { class: "twin" }, thumb(picture, name), h("span", {}, h("b", {}, label), h("span", { class: "muted small" }, name)));
    section.append(h("h3", {}, "Nearly the same sample twice"),
      h("ul", { class: "twins" }, suspects.duplicates.map((pair, k) => h("li", {}, who(pair.first, pair.first_label, pair.first_picture), who(pair.second, pair.second_label, pair.second_picture),
        h("span", {}, pair.exact ? "identical" : ["correlation ", num(`suspects.duplicates.${k}.similarity`, fixed, 4)], pair.leaked ? h("span", { class: "tag" }, "in the training data") : null,
          pair.first_label !== pair.second_label ? h("span", { class: "tag wrong" }, "labels differ") : null)))));
  }
}
