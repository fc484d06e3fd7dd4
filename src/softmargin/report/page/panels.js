// The panels, from top to bottom. They draw the record; a panel whose part of the record is null is left out.
const COLORS = ["--c1", "--c2", "--c3", "--c4"];
const colorOf = (loss) => ({ cross_entropy: "--c1", hinge: "--c2", squared_hinge: "--c3" })[loss] || "--c4";

function accuracyPanel() {
  const { headline, certificate, origin } = R;
  const big = h("div", { class: "big" }, num("headline.accuracy.value", percent, 2), h("span", { class: "big-name" }, "accuracy"));
  const bounds = [{ name: "this model", share: headline.accuracy, strong: true },
    ...headline.baselines.map((baseline) => ({ name: baseline.name, share: baseline.share }))];
  panel("accuracy", "Accuracy", null,
    headline.warnings.map((words) => h("p", { class: "warning", role: "note" }, words)),
    h("div", { class: "columns" },
      h("div", {}, big,
        headline.on_training ? h("p", {}, "on ", num("headline.accuracy.n", whole), headline.accuracy.n === 1 ? " training sample" : " training samples", "; this is not an estimate of the accuracy on new samples.")
          : h("p", {}, "on ", num("headline.accuracy.n", whole), headline.accuracy.n === 1 ? " sample" : " samples", "; 95\u00a0% confidence interval ", num("headline.accuracy.low", percent, 2),
          " to ", num("headline.accuracy.high", percent, 2), " (Wilson)."),
        dotPlot({ title: "Accuracy of the model and of baselines", rows: bounds, height: 30, labelWidth: 160 }),
        facts([["Loss", lossName(headline.loss)], ["λ (reg)", num("headline.reg", short, 6)],
          headline.delta === null ? null : ["Δ (delta)", num("headline.delta")],
          [headline.on_training ? "Mean training loss" : "Mean loss on these samples", num("headline.mean_loss")],
          headline.training_accuracy === null ? null : ["Training accuracy", num("headline.training_accuracy", percent, 2)]])),
      h("div", { class: "certificate " + (certificate.converged ? "proved" : "unproved") },
        h("h3", {}, certificate.converged ? "Converged: relative duality gap " : "Did not converge: relative duality gap ", num("certificate.gap", short, 3)),
        h("p", {}, certificate.words),
        facts([["Objective F = mean training loss + λΣW²", num("certificate.value", short, 8)], ["Lower bound (certified)", num("certificate.lower_bound", short, 8)],
          ["Gap", num("certificate.gap", short, 3)], ["Tolerance", num("certificate.tol")],
          ["Mean training loss + penalty", h("span", {}, num("headline.data_loss", short, 4), " + ", num("headline.penalty", short, 4))],
          ["Passes over the data", h("span", {}, num("certificate.n_passes", whole), " (", num("certificate.seconds", short, 3), "\u00a0s)")]]),
        h("p", { class: "note" }, "The certificate concerns the training objective, not the accuracy on new samples."))),
    recalls(),
    h("details", { class: "numbers reproduce" }, h("summary", {}, "How to reproduce this"),
      h("pre", {}, origin.commands.join("\n")),
      facts([["Model file", origin.model], ["Evaluated on", `${origin.data}, ${whole(origin.n_samples)} samples, ${whole(origin.n_features)} features`],
        ["Fingerprint", h("code", {}, origin.fingerprint)],
        ["Trained on", `${origin.trained_on}, ${whole(origin.n_training)} samples, scaling ${origin.scaling}`],
        ["Fingerprint of the training data", h("code", {}, origin.training_fingerprint)],
        ["Fitted", moment(origin.fitted)], ["Versions", Object.entries(origin.versions).map(([name, v]) => `${name} ${v}`).join(", ")]])));
}

function recalls() {
  const rows = R.headline.recalls.map((share, k) => ({ name: className(k), share, k }));
  const worst = [...rows].sort((a, b) => (a.share.value ?? 2) - (b.share.value ?? 2));
  const many = rows.length > 24;
  const place = many ? scrolls("Recall of each class", { class: "tall" }) : h("div");
  const show = (i) => place.replaceChildren(dotPlot({ title: "Recall: fraction of the samples of a class that is classified correctly", rows: i ? rows : worst, labelWidth: 260 }));
  show(0);
  return [tabs("Order of classes", ["lowest first", "in order of the classes"], show), place,
    numbers(["class", "samples", "correct", "recall", "from", "to"], rows.map(({ name, share, k }) => [name, whole(share.n),
      whole(share.n_correct), share.value === null ? "–" : num(`headline.recalls.${k}.value`, percent, 2), percent(share.low, 2), percent(share.high, 2)]), { caption: R.headline.on_training ? "Recall of each class on the training data" : "Recall of each class with its 95 % confidence interval" })];
}

function summaryPanel() {
  panel("summary", "Summary", null,
    R.headline.on_training ? h("p", { class: "warning", role: "note" }, "Evaluated on the training data: nothing below estimates the accuracy on new samples.") : null,
    h("dl", { class: "answers" }, R.headline.answers.map(([question, answer], k, all) =>
    h("div", {}, h("dt", {}, question), h("dd", {}, answer, k === all.length - 1 && R.worst.length ? sampleCard(R.worst[0], h("span", { class: "muted" }, "details")) : null)))));
}

function pathPanel() {
  const path = R.path;
  if (!path) return;
  const section = panel("path", "Model selection", "Each loss was fitted for decreasing values of λ, with a part of the training data held out for evaluation.");
  if (path.words) section.append(h("p", {}, path.words));
  if (path.features.length) {
    section.append(table(["features", "best loss", "held-out accuracy", "λ", "columns"], path.features.map((one, k) => [
      one.selected ? h("b", {}, one.name) : one.name, lossName(one.loss),
      h("span", {}, num(`path.features.${k}.accuracy`, percent, 2), " ± ", num(`path.features.${k}.standard_error`, percent, 2)),
      num(`path.features.${k}.reg`, short, 3), num(`path.features.${k}.n_features`, whole)]),
    { caption: "Features compared on the same folds (bold: selected; ± one standard error)", left: 2 }),
    h("ul", {}, path.feature_tests.map((words) => h("li", {}, words))), note("The curves below are those of the selected features."));
  }
  for (const curve of path.curves) if (curve.warning) section.append(h("p", { class: "warning" }, `${lossName(curve.loss)}: ${curve.warning}`));
  const marks = path.curves.flatMap((curve) => [
    { x: curve.reg[curve.best], y: curve.validation_accuracy[curve.best], color: colorOf(curve.loss) },
    curve.one_se === null ? null : { x: curve.reg[curve.one_se], y: curve.validation_accuracy[curve.one_se], color: colorOf(curve.loss), hollow: true }]).filter(Boolean);
  section.append(lineChart({ title: "Held-out accuracy (band: ± one standard error)", xLog: true, reverse: true, xLabel: "λ", yLabel: "accuracy", yFormat: percent, marks, height: 300,
    series: path.curves.map((curve) => ({ name: lossName(curve.loss), color: colorOf(curve.loss), x: curve.reg, y: curve.validation_accuracy, low: curve.low, high: curve.high, dots: true })) }));
  section.append(note("● best λ of each loss", path.curves.some((curve) => curve.one_se !== null) ? "; ◇ λ by the one-standard-error rule" : "", "."));
  const detail = h("div", { class: "columns" });
  const show = (i) => {
    const curve = path.curves[i];
    const color = colorOf(curve.loss);
    const x = curve.reg;
    const choose = [{ x: curve.reg[curve.best], text: "best" }];
    const parts = [curve.training_accuracy.length ? lineChart({ title: `${lossName(curve.loss)}: training and held-out accuracy`, xLog: true, reverse: true, xLabel: "λ", yLabel: "accuracy", yFormat: percent, marks: choose,
      series: [{ name: "training", color, x, y: curve.training_accuracy, dash: true }, { name: "held-out", color, x, y: curve.validation_accuracy, dots: true }] }) : null,
    curve.validation_loss.length ? lineChart({ title: `${lossName(curve.loss)}: mean loss`, xLog: true, reverse: true, xLabel: "λ", yLabel: "mean loss", marks: choose,
      series: [curve.training_loss.length ? { name: "training", color, x, y: curve.training_loss, dash: true } : null, { name: "held-out", color, x, y: curve.validation_loss, dots: true }].filter(Boolean) }) : null,
    curve.penalty.length ? lineChart({ title: `${lossName(curve.loss)}: mean training loss and penalty`, xLog: true, reverse: true, xLabel: "λ", yLabel: "value", marks: choose,
      series: [{ name: "mean training loss", color, x, y: curve.training_loss }, { name: "λΣW²", color: "--c4", x, y: curve.penalty }] }) : null];
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
  panel("convergence", "Convergence", "A pass is one reading of the training data. The minimum lies between the objective and the certified lower bound.",
    h("div", { class: known > 1 ? "columns" : "" },
      known > 1 ? lineChart({ title: "Objective and certified lower bound", xLabel: "passes", yLabel: "F", series: [
        { name: "objective", color: "--c1", x: c.n_passes, y: c.value, dots: true }, { name: "lower bound", color: "--c3", x: c.n_passes, y: c.lower_bound, dots: true }], yFormat: (x) => short(x, 6) }) : null,
      lineChart({ title: "Relative duality gap: certified, and as estimated by the solver", xLabel: "passes", yLabel: "gap", yLog: true, series: [
        { name: "estimated", color: "--c4", x: c.n_passes, y: c.estimate, dash: true },
        { name: "certified", color: "--c1", x: c.n_passes, y: c.gap, dots: true }], yFormat: (x) => short(x, 3) })),
    note("A lower bound takes extra work, so the solver computes one only when it expects to be close to the minimum."),
    numbers(["pass", "seconds", "objective", "lower bound", "gap", "estimated gap"], c.n_passes.map((n, k) => [short(n, 5), fixed(c.seconds[k], 3),
      num(`convergence.value.${k}`, short, 8), num(`convergence.lower_bound.${k}`, short, 8), num(`convergence.gap.${k}`, short, 3), num(`convergence.estimate.${k}`, short, 3)]), { caption: "Steps of the fit", left: 0 }));
}

function comparisonPanel() {
  const comparison = R.comparison;
  if (!comparison) return;
  const name = (k) => lossName(comparison.models[k].loss);
  const label = (k) => (comparison.models.filter((m) => m.loss === comparison.models[k].loss).length > 1 ? `${name(k)} (λ ${short(comparison.models[k].reg, 3)})` : name(k));
  panel("comparison", "Model comparison", "Other models evaluated on the same samples.",
    dotPlot({ title: "Accuracy", rows: comparison.models.map((m, k) => ({ name: label(k), share: m.accuracy, strong: k === 0 })), height: 32 }),
    table(["loss", "λ", "gap", "accuracy", "margin < Δ", "median margin"], comparison.models.map((m, k) => [label(k), num(`comparison.models.${k}.reg`, short, 3),
      num(`comparison.models.${k}.gap`, short, 2), num(`comparison.models.${k}.accuracy.value`, percent, 2), num(`comparison.models.${k}.inside`, percent), num(`comparison.models.${k}.margin`, short, 3)]), { caption: "Models on the same samples (cross-entropy: Δ = 1)" }),
    h("h3", {}, "Significance of the differences"),
    table(["models", "only the first is correct", "only the second is correct", "p", "difference"], comparison.tests.map((t, k) => [`${label(t.first)} and ${label(t.second)}`,
      num(`comparison.tests.${k}.only_first`, whole), num(`comparison.tests.${k}.only_second`, whole), num(`comparison.tests.${k}.p_value`, short, 2), t.p_value < 0.05 ? "significant" : "not significant"]), { caption: "McNemar's test (exact, two-sided mid-p; significant if p < 0.05, not corrected for multiple tests)" }),
    h("h3", {}, "Disagreements"), h("p", {}, num("comparison.n_disagreements", whole), comparison.n_disagreements === 1 ? " sample has" : " samples have", " different predictions. Those that this model misclassifies and another model classifies correctly come first."),
    h("div", { class: "cards" }, comparison.disagreements.map((d) => sampleCard(d.sample, h("span", { class: "answers-list" }, d.predicted.map((k, m) =>
      h("span", { class: k === R.samples[d.sample].label ? "right" : "wrong" }, `${k === R.samples[d.sample].label ? "✓" : "✗"} ${label(m)}: ${className(k)}`)))))));
}

// -- weights ------------------------------------------------------------------------------------------------

function weightsPanel() {
  const weights = R.weights;
  const pictures = weights.pictures !== "";
  const section = panel("weights", "Weights", pictures
    ? "The score of a class is the sum of the pixels times the class's weights, plus its intercept. So the weights are a picture, too: bright pixels increase the score where the weight is positive, and decrease it where the weight is negative."
    : "The score of a class is the sum of the features times the class's weights, plus its intercept.");
  if (pictures) section.append(weightPictures(weights));
  if (weights.features.length) section.append(h("h3", {}, "Features with the largest effect"), featureWeights(weights));
  section.append(h("h3", {}, "Samples with the highest score per class"),
    h("p", {}, "Samples of all labels are considered. A sample of another class may still be classified correctly, if the score of its own class is higher."), topSamples(weights));
  if (pictures && weights.pixels.length) section.append(h("h3", {}, "Contribution of each pixel to a score"), pixelMaps(weights));
  const columns = h("div", { class: weights.shown.length > 20 ? "" : "columns" });
  section.append(h("h3", {}, "Similarity of the classes"), columns);
  const names = weights.shown.map(className);
  const cosines = weights.cosines.flatMap((row, a) => row.filter((_, b) => b !== a)).sort((a, b) => a - b);
  const most = Math.max(-cosines[0], cosines[cosines.length - 1], 1e-9);
  const cosine = matrix({ title: "Cosine similarity of the weights of two classes", names, size: names.length,
    cell: (a, b) => diverging(a === b ? 1 : (0.85 * weights.cosines[a][b]) / most), text: (a, b) => fixed(weights.cosines[a][b], 2).replace("0.", "."),
    words: `From ${fixed(cosines[0], 2)} to ${fixed(cosines[cosines.length - 1], 2)}.`,
    describe: (a, b) => `${names[a]} and ${names[b]}: cosine ${fixed(weights.cosines[a][b], 3)}`, help: "Orange: similar; blue: opposite. Point at a cell or use the arrow keys." });
  if (R.confusion.orders["by confusion"]) cosine.sort(R.confusion.orders["by confusion"]);
  const length = scatter(weights);
  columns.append(cosine, length);
  section.append(note("The mean weights over all classes are subtracted first; this does not change the predictions."),
    numbers(["class", "‖w‖", "intercept", "samples"], weights.norms.map((norm, k) => [className(k), num(`weights.norms.${k}`), num(`weights.biases.${k}`), num(`weights.sizes.${k}`, whole)]), { caption: "Weights of each class" }));
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
    grid.replaceChildren(...R.classes.map((name, k) => h("figure", {}, weightPicture(of(k), height, width, channels, state.common ? common : extent(of(k)), `Weights of ${name}`, large), h("figcaption", {}, name))));
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
      channels === 3 ? h("figure", {}, weightPicture(plain, height, width, 1, extent(plain), title + ", sum of the channels", 160), h("figcaption", {}, "sum of the channels")) : null].filter(Boolean));
  }
  onTheme(draw);
  const controls = h("div", { class: "controls" }, tabs("Scale", ["own scale", "common scale"], (i) => { state.common = i; draw(); }),
    steps.length > 1 ? slider("λ", { min: 0, max: steps.length - 1, step: 1, value: state.step, format: (i) => short(steps[i].reg, 3) }, (i) => { state.step = i; draw(); }) : null);
  const one = choice("Class", R.classes, (i) => { state.first = i; drawPair(); }, state.first);
  const two = choice("minus", R.classes, (i) => { state.second = i; drawPair(); }, state.second);
  draw();
  return h("div", {}, controls, grid,
    note(channels === 3 ? "Grey: weight 0. A red pixel, for example, has a larger weight for the red channel." : "Orange: positive; blue: negative.",
      weights.reduced ? " The pictures are reduced in size by averaging pixels." : ""),
    h("h3", {}, "Difference of two classes"), h("div", { class: "controls" }, one, two), pair,
    note("The first class has the higher score if the sum of the pixels times this picture, plus the difference of the biases, is positive."));
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
      return chosen.length ? table(["feature", unseen("bar"), "weight × s.d.", "weight"], chosen.map(({ entry, path }) => [entry.feature, bar(entry), num(path + ".effect", short, 3), num(path + ".weight", short, 3)]), { caption, left: 2, className: "effects" })
        : h("p", {}, caption, ": none");
    };
    place.replaceChildren(side(`Positive weight for ${className(k)}`, 1, "for"), side(`Negative weight for ${className(k)}`, -1, "against"));
  };
  const pick = choice("Class", R.classes, show);
  show(0);
  return h("div", {}, h("div", { class: "controls" }, pick), place,
    note("Bars and order: the weight times the standard deviation (s.d.) of the feature on these samples, so that features with different units can be compared. The mean weights over all classes are subtracted first. Correlated features may share their weight in any proportion."));
}

function topSamples(weights) {
  const place = h("div");
  const named = (k) => [h("h4", {}, className(k)), cards(weights.top[k])];
  const show = (k) => place.replaceChildren(...named(k));
  const pick = choice("Class", R.classes, show);
  show(0);
  if (R.classes.length > 12) return h("div", {}, h("div", { class: "controls" }, pick), place);
  return h("div", { class: "top-samples" }, R.classes.map((name, k) => h("div", {}, named(k))));
}

function pixelMaps(weights) {
  const place = h("div", { class: "pictures duo" });
  const words = h("p", { "aria-live": "polite" });
  const describe = ({ sample }) => `${className(R.samples[sample].label)}, predicted ${className(R.samples[sample].predicted)} (${R.samples[sample].name})`;
  function show(k) {
    const entry = weights.pixels[k];
    const sample = R.samples[entry.sample];
    const own = floats(entry.own), other = floats(entry.other);
    const difference = other.map((x, i) => x - own[i]);
    const { map_height: height, map_width: width } = weights;
    const most = Math.max(extent(own), extent(other));
    const total = (values) => values.reduce((a, b) => a + b, 0);
    const map = (values, name, unit, words) => h("figure", {}, weightPicture(values, height, width, 1, unit, words, 144), h("figcaption", {}, name));
    place.replaceChildren(h("figure", {}, thumb(sample.picture, sample.name, 144), h("figcaption", {}, "the sample")),
      map(own, `score of ${className(sample.label)} (true)`, most, `Contribution of each pixel to the score of ${className(sample.label)}`),
      map(other, `score of ${className(entry.rival)}`, most, `Contribution of each pixel to the score of ${className(entry.rival)}`),
      map(difference, `${className(entry.rival)} − ${className(sample.label)}`, extent(difference), `Contribution of each pixel to ${className(entry.rival)} minus that to ${className(sample.label)}`));
    words.textContent = `Score of ${className(sample.label)}: pixels ${fixed(total(own), 3)} + intercept ${fixed(weights.biases[sample.label], 3)} = ${fixed(total(own) + weights.biases[sample.label], 3)}. `
      + `Score of ${className(entry.rival)}: ${fixed(total(other), 3)} + ${fixed(weights.biases[entry.rival], 3)} = ${fixed(total(other) + weights.biases[entry.rival], 3)}.`;
  }
  const pick = choice("Sample", weights.pixels.map(describe), show);
  show(0);
  onTheme(() => show(Number(pick.select.value)));
  return h("div", {}, h("div", { class: "controls" }, pick), place, words);
}

function scatter(weights) {
  const order = [...weights.norms.keys()].sort((a, b) => weights.sizes[a] - weights.sizes[b]);
  const same = new Set(weights.sizes).size === 1;
  const box = h("div", { class: "chart" });
  const readout = readings();
  const title = same ? "Norm of the weights of each class (all classes have equally many samples)" : `Norm of the weights and number of samples per class (${weights.sizes_of})`;
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
    const say = (i) => { readout.textContent = `${className(order[i])}: ‖w‖ ${short(weights.norms[order[i]])}, ${whole(weights.sizes[order[i]])} samples (${weights.sizes_of})`; };
    const near = (over, down) => nearest(order, (k, i) => Math.hypot(x(xs[i]) - over, y(weights.norms[k]) - down));
    box.replaceChildren(chart(width, height, `${title}. From ${size(byNorm[0])} to ${size(byNorm[byNorm.length - 1])}.`, { count: order.length, near, say },
      ticks(y.low, y.high, 5).map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }), s("text", { class: "tick", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, short(t, 3))]),
      same ? null : ticks(x.low, x.high, width / 90).map((t) => s("text", { class: "tick", x: x(t), y: height - bottom + 18, "text-anchor": "middle" }, whole(t))),
      s("text", { class: "axis", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, same ? "classes, by norm" : "samples of the class"),
      s("text", { class: "axis", transform: `translate(13 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, "‖w‖"),
      order.map((k, i) => s("circle", { class: "dot scatter", cx: x(xs[i]), cy: y(weights.norms[k]), r: 5, style: { "--key": "var(--c1)" } }, s("title", {}, `${className(k)}: ${short(weights.norms[k])}`))),
      order.length > 20 ? null : order.map((k, i) => {
        const name = className(k), at_ = x(xs[i]), letters = Math.floor(space(i) / 7);
        if (letters < Math.min(4, name.length)) return null;
        return s("text", { class: "tick point-name", x: at_, y: y(weights.norms[k]) - 10, "text-anchor": anchor(i) }, name.length > letters ? name.slice(0, letters - 1) + "…" : name);
      })));
  });
  return h("figure", {}, h("figcaption", {}, title), box, readout);
}

// -- errors -----------------------------------------------------------------------------------------------

function worstPanel() {
  const place = detail();
  const list = scrolls("Samples with the largest loss", { class: "cards strip" });
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
  panel("worst", "Largest losses", [`The ${whole(R.worst.length)} samples with the largest loss. `, onScreen("Select one to see the terms of its loss.")], list, place);
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
    const list = cells[`${shown[a]},${shown[b]}`] || [];
    const n = counts[a][b];
    place.show(a === b ? `${names[a]}, classified correctly: ${whole(n)}` : `${names[a]}, predicted as ${names[b]}: ${whole(n)}`,
      n === 0 ? h("p", {}, "No samples.") : h("p", { class: "muted" }, list.length < n ? `The ${whole(list.length)} of ${whole(n)} samples with the largest loss.` : n === 1 ? "The only sample." : `All samples (${whole(n)}), the largest loss first.`), cards(list));
  }
  const grid = matrix({ title: "Rows: true class; columns: predicted class", names, size: names.length, cell: color,
    text: (a, b) => (counts[a][b] ? (state.share ? (100 * rate(a, b)).toFixed(0) : whole(counts[a][b])) : ""),
    describe: (a, b) => `True ${names[a]}, predicted ${names[b]}: ${whole(counts[a][b])} of ${whole(totals[a])} (${percent(rate(a, b))})`, pick,
    words: `${percent(R.headline.accuracy.value)} of the samples are on the diagonal.`,
    help: "Click a cell, or use the arrow keys and Enter, to see its samples." });
  const orderNames = Object.keys(orders);
  const first = names.length > 20 && orders["by confusion"] ? orderNames.indexOf("by confusion") : 0;
  const sort = choice("Order", orderNames, (i) => grid.sort(orders[orderNames[i]]), first);
  grid.sort(orders[orderNames[first]]);
  const units = tabs("Numbers", ["counts", "% of the true class"], (i) => { state.share = i === 1; grid.sort(grid.state.order); });
  const list = h("ol", { class: "pairs" }, pairs.slice(0, 12).map(([a, b, n, back], k) => h("li", {}, button([
    h("span", {}, h("b", {}, className(a)), " ", predictedAs(h("b", {}, className(b)))), h("span", { class: "muted" }, num(`confusion.pairs.${k}.2`, whole), n === 1 ? " sample; reverse: " : " samples; reverse: ", num(`confusion.pairs.${k}.3`, whole))],
  () => { const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }, { class: "pair" }))));
  panel("confusion", "Confusion matrix", shown.length < R.classes.length ? `The ${whole(shown.length)} of ${whole(R.classes.length)} classes with the most errors.` : null,
    h("div", { class: "controls" }, sort, units),
    h("div", { class: names.length > 40 ? "" : "columns wide-left" }, grid, h("div", {}, h("h3", {}, "Most frequent confusions"), pairs.length ? list : h("p", {}, "All samples are classified correctly."))), place,
    numbers(["true", "predicted", "samples", "reverse"], pairs.map(([a, b, n, back]) => [className(a), className(b), whole(n), whole(back)]), { caption: "Most frequent confusions", left: 2 }));
  if (pairs.length) { const [a, b] = pairs[0]; const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }
}

function marginsPanel() {
  const m = R.margins;
  const total = m.counts[0].map((_, i) => m.counts.reduce((sum, row) => sum + row[i], 0));
  const marks = [{ x: 0, text: m.delta === null ? "0: errors to the left" : "0" }];
  if (m.delta !== null) marks.push({ x: m.delta, text: `Δ = ${short(m.delta)}` });
  const bars = histogram({ title: "Distribution of the margins", edges: m.edges, counts: total, marks, xLabel: "margin" });
  const words = h("p", { "aria-live": "polite" });
  const show = (i) => {
    const k = i - 1;
    bars.set(i ? m.counts[k] : total);
    const which = i ? `the samples of ${className(k)}` : "all samples";
    const wrong = i ? m.wrong[k] : m.all_wrong, inside = i ? m.inside[k] : m.all_inside;
    const path = (name) => (i ? `margins.${name}.${k}` : `margins.all_${name}`);
    words.replaceChildren(`Of ${which}, `, num(path("wrong"), percent), " are misclassified (margin below 0)", m.delta === null ? "." : "; ",
      m.delta === null ? "" : num(path("inside"), percent), m.delta === null ? "" : ` have a margin below Δ = ${short(m.delta)} and thus a loss above 0.`);
  };
  panel("margins", "Margins", m.delta === null ? "The margin is the score of the true class minus the largest other score. Cross-entropy has no margin parameter: every sample has a positive loss, which decreases as its margin grows."
    : "The margin is the score of the true class minus the largest other score. Only samples with a margin below Δ have a positive loss.",
  h("div", { class: "controls" }, choice("Class", ["all", ...R.classes], show)), bars, words,
  numbers(["from", "to", "samples"], total.map((n, i) => [short(m.edges[i], 3), short(m.edges[i + 1], 3), whole(n)]), { caption: "Margins of all samples", left: 0 }));
  show(0);
}

// -- calibration ------------------------------------------------------------------------------------------

function calibrationPanel() {
  const c = R.calibration;
  const curve = (name, path, color, dash) => ({ name, color, dash, dots: true, x: c[path].bins.map((bin) => bin.confidence), y: c[path].bins.map((bin) => bin.accuracy) });
  const fitted = !c.probabilistic && c.temperature !== null;
  const [own, other] = fitted ? ["temperature from cross-validation", "temperature of these samples"] : ["uncalibrated", "temperature scaling"];
  const state = [curve(own, "before", "--c1"), curve(other, "after", "--c2", true)];
  panel("calibration", "Calibration", c.words,
    h("div", { class: "columns" },
      h("div", {}, lineChart({ title: "Reliability diagram (calibrated on the diagonal)", diagonal: true, xLabel: "confidence", yLabel: "accuracy", xFormat: percent, yFormat: percent, xRange: [0, 1], yRange: [0, 1], height: 320, series: state }),
        table(["scores", "ECE", "log loss"], [[own, num("calibration.before.ece", percent, 2), num("calibration.before.mean_loss")],
          [other, num("calibration.after.ece", percent, 2), num("calibration.after.mean_loss")]], { caption: "Calibration" }),
        note("ECE: expected calibration error. ", fitted ? ["The temperature of the model, ", num("calibration.temperature", short, 4), ", is from cross-validation. "] : "", "Temperatures of the two halves: ", num("calibration.temperatures.0", short, 4), " and ", num("calibration.temperatures.1", short, 4), "; each is fitted on one half of the samples and evaluated on the other.", c.temperature !== null ? "" : " The loss of this model does not give probabilities; the softmax of its scores is used instead."),
        numbers(["confidence from", "to", "samples", "mean confidence", "accuracy"], c.before.bins.map((bin, k) => [percent(bin.low, 0), percent(bin.high, 0), num(`calibration.before.bins.${k}.n`, whole), num(`calibration.before.bins.${k}.confidence`, percent), num(`calibration.before.bins.${k}.accuracy`, percent)]), { caption: `Reliability, ${own}`, left: 0 })),
      h("div", {}, lineChart({ title: "Risk–coverage curve: error rate if only the most confident predictions are made", xLabel: "coverage", yLabel: "error rate", xFormat: percent, yFormat: percent, xRange: [0, 1], height: 320,
        series: [{ name: c.temperature !== null ? "by the largest probability" : "by the difference of the two largest scores", color: "--c1", x: c.coverage, y: c.risk }] }),
      note("Area under the curve: ", num("calibration.area", short, 4), ". The curve is flat if the confidence is unrelated to the errors."),
      numbers(["coverage", "error rate"], c.coverage.map((share, k) => [percent(share), percent(c.risk[k], 2)]), { caption: "Risk and coverage", left: 0 }))));
}

function dataErrorsPanel() {
  const errors = R.data_errors;
  const section = panel("data-errors", "Label errors and duplicates", errors.words);
  if (errors.labels.length) {
    section.append(h("h3", {}, "Probable label errors (probability of the predicted and of the given class)"),
      h("div", { class: "cards" }, errors.labels.map((suspect, k) => sampleCard(suspect.sample, h("span", { class: "muted" }, num(`data_errors.labels.${k}.probability`, percent, 0), " vs. ", num(`data_errors.labels.${k}.given`, percent, 1))))));
  }
  if (errors.duplicates.length) {
    const one = (name, label, picture) => h("span", { class: "twin" }, thumb(picture, name), h("span", {}, h("b", {}, label), h("span", { class: "muted small" }, name)));
    section.append(h("h3", {}, "Near-duplicates"),
      h("ul", { class: "twins" }, errors.duplicates.map((pair, k) => h("li", {}, one(pair.first, pair.first_label, pair.first_picture), one(pair.second, pair.second_label, pair.second_picture),
        h("span", {}, pair.exact ? "identical" : ["correlation ", num(`data_errors.duplicates.${k}.similarity`, fixed, 4)], pair.leaked ? h("span", { class: "tag" }, "second: training set") : null,
          pair.first_label !== pair.second_label ? h("span", { class: "tag wrong" }, "labels differ") : null)))));
  }
}

function laboratoryPanel() {
  panel("laboratory", "Try the losses", "These examples do not depend on the model. They use the formulas of the library.",
    h("h3", {}, "Three scores"), scoresLab(), h("h3", {}, "A classifier of points in a plane"), planeLab());
}
