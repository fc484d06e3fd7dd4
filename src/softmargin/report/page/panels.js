// The panels, from top to bottom. They draw the record; a panel whose part of the record is null is left out.
const COLORS = ["--c1", "--c2", "--c3", "--c4"];
const colorOf = (loss) => ({ cross_entropy: "--c1", hinge: "--c2", squared_hinge: "--c3" })[loss] || "--c4";

function accuracyPanel() {
  const { headline, certificate, origin } = R;
  const big = h("div", { class: "big" }, num("headline.accuracy.value", percent, 2), h("span", { class: "big-name" }, tr("accuracy")));
  const bounds = [{ name: tr("this model"), share: headline.accuracy, strong: true },
    ...headline.baselines.map((baseline) => ({ name: baseline.name, share: baseline.share }))];
  panel("accuracy", tr("Accuracy"), null,
    headline.warnings.map((words) => h("p", { class: "warning", role: "note" }, words)),
    h("div", { class: "columns" },
      h("div", {}, big,
        h("p", {}, headline.on_training
          ? parts(headline.accuracy.n === 1 ? "on {0} training sample; this is not an estimate of the accuracy on new samples." : "on {0} training samples; this is not an estimate of the accuracy on new samples.", num("headline.accuracy.n", whole))
          : parts(headline.accuracy.n === 1 ? "on {0} sample; 95\u00a0% confidence interval {1} to {2} (Wilson)." : "on {0} samples; 95\u00a0% confidence interval {1} to {2} (Wilson).",
            num("headline.accuracy.n", whole), num("headline.accuracy.low", percent, 2), num("headline.accuracy.high", percent, 2))),
        dotPlot({ title: tr("Accuracy of the model and of baselines"), rows: bounds, height: 30, labelWidth: 160 }),
        facts([[tr("Loss"), lossName(headline.loss)], ["λ (reg)", num("headline.reg", short, 6)],
          headline.delta === null ? null : ["Δ (delta)", num("headline.delta")],
          [headline.on_training ? tr("Mean training loss") : tr("Mean loss on these samples"), num("headline.mean_loss")],
          headline.training_accuracy === null ? null : [tr("Training accuracy"), num("headline.training_accuracy", percent, 2)]])),
      h("div", { class: "certificate " + (certificate.converged ? "proved" : "unproved") },
        h("h3", {}, parts(certificate.converged ? "Converged: relative duality gap {0}" : "Did not converge: relative duality gap {0}", num("certificate.gap", short, 3))),
        h("p", {}, certificate.words),
        facts([[tr("Objective F = mean training loss + λΣW²"), num("certificate.value", short, 8)], [tr("Lower bound (certified)"), num("certificate.lower_bound", short, 8)],
          [tr("Gap"), num("certificate.gap", short, 3)], [tr("Tolerance"), num("certificate.tol")],
          [tr("Mean training loss + penalty"), h("span", {}, num("headline.data_loss", short, 4), " + ", num("headline.penalty", short, 4))],
          [tr("Passes over the data"), h("span", {}, parts("{0} ({1}\u00a0s)", num("certificate.n_passes", whole), num("certificate.seconds", short, 3)))]]),
        h("p", { class: "note" }, tr("The certificate concerns the training objective, not the accuracy on new samples.")))),
    recalls(),
    h("details", { class: "numbers reproduce" }, h("summary", {}, tr("How to reproduce this")),
      h("pre", {}, origin.commands.join("\n")),
      facts([[tr("Model file"), origin.model], [tr("Evaluated on"), tr("{0}, {1} samples, {2} features", origin.data, whole(origin.n_samples), whole(origin.n_features))],
        [tr("Fingerprint"), h("code", {}, origin.fingerprint)],
        [tr("Trained on"), tr("{0}, {1} samples, scaling {2}", origin.trained_on, whole(origin.n_training), origin.scaling)],
        [tr("Fingerprint of the training data"), h("code", {}, origin.training_fingerprint)],
        [tr("Fitted"), moment(origin.fitted)], [tr("Versions"), Object.entries(origin.versions).map(([name, v]) => `${name === "report by softmargin" ? tr("report by softmargin") : name} ${v}`).join(tr(", "))]])));
}

function recalls() {
  const rows = R.headline.recalls.map((share, k) => ({ name: className(k), share, k }));
  const worst = [...rows].sort((a, b) => (a.share.value ?? 2) - (b.share.value ?? 2));
  const many = rows.length > 24;
  const place = many ? scrolls(tr("Recall of each class"), { class: "tall" }) : h("div");
  const show = (i) => place.replaceChildren(dotPlot({ title: tr("Recall: fraction of the samples of a class that is classified correctly"), rows: i ? rows : worst, labelWidth: 260 }));
  show(0);
  return [tabs(tr("Order of classes"), trs("lowest first", "in order of the classes"), show), place,
    numbers(trs("class", "samples", "correct", "recall", "from", "to"), rows.map(({ name, share, k }) => [name, whole(share.n),
      whole(share.n_correct), share.value === null ? "–" : num(`headline.recalls.${k}.value`, percent, 2), percent(share.low, 2), percent(share.high, 2)]), { caption: R.headline.on_training ? tr("Recall of each class on the training data") : tr("Recall of each class with its 95 % confidence interval") })];
}

function summaryPanel() {
  panel("summary", tr("Summary"), null,
    R.headline.on_training ? h("p", { class: "warning", role: "note" }, tr("Evaluated on the training data: nothing below estimates the accuracy on new samples.")) : null,
    h("dl", { class: "answers" }, R.headline.answers.map(([question, answer], k, all) =>
    h("div", {}, h("dt", {}, question), h("dd", {}, answer, k === all.length - 1 && R.worst.length ? sampleCard(R.worst[0], h("span", { class: "muted" }, tr("details"))) : null)))));
}

function pathPanel() {
  const path = R.path;
  if (!path) return;
  const section = panel("path", tr("Model selection"), tr("Each loss was fitted for decreasing values of λ, with a part of the training data held out for evaluation."));
  if (path.words) section.append(h("p", {}, path.words));
  if (path.features.length) {
    section.append(table([...trs("features", "best loss", "held-out accuracy"), "λ", tr("columns")], path.features.map((one, k) => [
      one.selected ? h("b", {}, one.name) : one.name, lossName(one.loss),
      h("span", {}, num(`path.features.${k}.accuracy`, percent, 2), " ± ", num(`path.features.${k}.standard_error`, percent, 2)),
      num(`path.features.${k}.reg`, short, 3), num(`path.features.${k}.n_features`, whole)]),
    { caption: tr("Features compared on the same folds (bold: selected; ± one standard error)"), left: 2 }),
    h("ul", {}, path.feature_tests.map((words) => h("li", {}, words))), note(tr("The curves below are those of the selected features.")));
  }
  for (const curve of path.curves) if (curve.warning) section.append(h("p", { class: "warning" }, tr("{0}: {1}", lossName(curve.loss), curve.warning)));
  const marks = path.curves.flatMap((curve) => [
    { x: curve.reg[curve.best], y: curve.validation_accuracy[curve.best], color: colorOf(curve.loss) },
    curve.one_se === null ? null : { x: curve.reg[curve.one_se], y: curve.validation_accuracy[curve.one_se], color: colorOf(curve.loss), hollow: true }]).filter(Boolean);
  section.append(lineChart({ title: tr("Held-out accuracy (band: ± one standard error)"), xLog: true, reverse: true, xLabel: "λ", yLabel: tr("accuracy"), yFormat: percent, marks, height: 300,
    series: path.curves.map((curve) => ({ name: lossName(curve.loss), color: colorOf(curve.loss), x: curve.reg, y: curve.validation_accuracy, low: curve.low, high: curve.high, dots: true })) }));
  section.append(note(path.curves.some((curve) => curve.one_se !== null) ? tr("● best λ of each loss; ◇ λ by the one-standard-error rule.") : tr("● best λ of each loss.")));
  const detail = h("div", { class: "columns" });
  const show = (i) => {
    const curve = path.curves[i];
    const color = colorOf(curve.loss);
    const x = curve.reg;
    const choose = [{ x: curve.reg[curve.best], text: tr("best") }];
    const charts = [curve.training_accuracy.length ? lineChart({ title: tr("{0}: training and held-out accuracy", lossName(curve.loss)), xLog: true, reverse: true, xLabel: "λ", yLabel: tr("accuracy"), yFormat: percent, marks: choose,
      series: [{ name: tr("training"), color, x, y: curve.training_accuracy, dash: true }, { name: tr("held-out"), color, x, y: curve.validation_accuracy, dots: true }] }) : null,
    curve.validation_loss.length ? lineChart({ title: tr("{0}: mean loss", lossName(curve.loss)), xLog: true, reverse: true, xLabel: "λ", yLabel: tr("mean loss"), marks: choose,
      series: [curve.training_loss.length ? { name: tr("training"), color, x, y: curve.training_loss, dash: true } : null, { name: tr("held-out"), color, x, y: curve.validation_loss, dots: true }].filter(Boolean) }) : null,
    curve.penalty.length ? lineChart({ title: tr("{0}: mean training loss and penalty", lossName(curve.loss)), xLog: true, reverse: true, xLabel: "λ", yLabel: tr("value"), marks: choose,
      series: [{ name: tr("mean training loss"), color, x, y: curve.training_loss }, { name: "λΣW²", color: "--c4", x, y: curve.penalty }] }) : null];
    detail.replaceChildren(...charts.filter(Boolean), numbers(["λ", ...trs("training accuracy", "held-out accuracy", "held-out loss")], curve.reg.map((reg, k) => [short(reg),
      percent(curve.training_accuracy[k] ?? null, 2), percent(curve.validation_accuracy[k], 2), short(curve.validation_loss[k])]), { caption: tr("Path of {0}", lossName(curve.loss)), left: 0 }));
  };
  const first = Math.max(0, path.curves.findIndex((curve) => curve.loss === path.loss));
  section.append(tabs(tr("Loss"), path.curves.map((curve) => lossName(curve.loss)), show, first), detail);
  show(first);
}

function convergencePanel() {
  const c = R.convergence;
  if (!c) return;
  const known = new Set(c.n_passes.filter((_, k) => c.value[k] !== null)).size;
  panel("convergence", tr("Convergence"), tr("A pass is one reading of the training data. The minimum lies between the objective and the certified lower bound."),
    h("div", { class: known > 1 ? "columns" : "" },
      known > 1 ? lineChart({ title: tr("Objective and certified lower bound"), xLabel: tr("passes"), yLabel: "F", series: [
        { name: tr("objective"), color: "--c1", x: c.n_passes, y: c.value, dots: true }, { name: tr("lower bound"), color: "--c3", x: c.n_passes, y: c.lower_bound, dots: true }], yFormat: (x) => short(x, 6) }) : null,
      lineChart({ title: tr("Relative duality gap: certified, and as estimated by the solver"), xLabel: tr("passes"), yLabel: tr("gap"), yLog: true, series: [
        { name: tr("estimated"), color: "--c4", x: c.n_passes, y: c.estimate, dash: true },
        { name: tr("certified"), color: "--c1", x: c.n_passes, y: c.gap, dots: true }], yFormat: (x) => short(x, 3) })),
    note(tr("A lower bound takes extra work, so the solver computes one only when it expects to be close to the minimum.")),
    numbers(trs("pass", "seconds", "objective", "lower bound", "gap", "estimated gap"), c.n_passes.map((n, k) => [short(n, 5), fixed(c.seconds[k], 3),
      num(`convergence.value.${k}`, short, 8), num(`convergence.lower_bound.${k}`, short, 8), num(`convergence.gap.${k}`, short, 3), num(`convergence.estimate.${k}`, short, 3)]), { caption: tr("Steps of the fit"), left: 0 }));
}

function comparisonPanel() {
  const comparison = R.comparison;
  if (!comparison) return;
  const name = (k) => lossName(comparison.models[k].loss);
  const label = (k) => (comparison.models.filter((m) => m.loss === comparison.models[k].loss).length > 1 ? tr("{0} (λ {1})", name(k), short(comparison.models[k].reg, 3)) : name(k));
  panel("comparison", tr("Model comparison"), tr("Other models evaluated on the same samples."),
    dotPlot({ title: tr("Accuracy"), rows: comparison.models.map((m, k) => ({ name: label(k), share: m.accuracy, strong: k === 0 })), height: 32 }),
    table([tr("loss"), "λ", ...trs("gap", "accuracy", "margin < Δ", "median margin")], comparison.models.map((m, k) => [label(k), num(`comparison.models.${k}.reg`, short, 3),
      num(`comparison.models.${k}.gap`, short, 2), num(`comparison.models.${k}.accuracy.value`, percent, 2), num(`comparison.models.${k}.inside`, percent), num(`comparison.models.${k}.margin`, short, 3)]), { caption: tr("Models on the same samples (cross-entropy: Δ = 1)") }),
    h("h3", {}, tr("Significance of the differences")),
    table([...trs("models", "only the first is correct", "only the second is correct"), "p", tr("difference")], comparison.tests.map((t, k) => [tr("{0} and {1}", label(t.first), label(t.second)),
      num(`comparison.tests.${k}.only_first`, whole), num(`comparison.tests.${k}.only_second`, whole), num(`comparison.tests.${k}.p_value`, short, 2), t.p_value < 0.05 ? tr("significant") : tr("not significant")]), { caption: tr("McNemar's test (exact, two-sided mid-p; significant if p < 0.05, not corrected for multiple tests)") }),
    h("h3", {}, tr("Disagreements")), h("p", {}, parts(comparison.n_disagreements === 1 ? "{0} sample has different predictions. Those that this model misclassifies and another model classifies correctly come first."
      : "{0} samples have different predictions. Those that this model misclassifies and another model classifies correctly come first.", num("comparison.n_disagreements", whole))),
    h("div", { class: "cards" }, comparison.disagreements.map((d) => sampleCard(d.sample, h("span", { class: "answers-list" }, d.predicted.map((k, m) =>
      h("span", { class: k === R.samples[d.sample].label ? "right" : "wrong" }, tr("{0} {1}: {2}", k === R.samples[d.sample].label ? "✓" : "✗", label(m), className(k)))))))));
}

// -- errors -----------------------------------------------------------------------------------------------

function worstPanel() {
  const place = detail();
  const list = scrolls(tr("Samples with the largest loss"), { class: "cards strip" });
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
  panel("worst", tr("Largest losses"), [tr("The {0} samples with the largest loss. ", whole(R.worst.length)), onScreen(tr("Select one to see the terms of its loss."))], list, place);
  if (R.worst.length) show(R.worst[0], buttons[0]);
}

function confusionPanel() {
  const ORDERS = { "as given": tr("as given"), "by recall": tr("by recall"), "by size": tr("by size"), "by confusion": tr("by confusion"), "by name": tr("by name") };
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
    place.show(a === b ? tr("{0}, classified correctly: {1}", names[a], whole(n)) : tr("{0}, predicted as {1}: {2}", names[a], names[b], whole(n)),
      n === 0 ? h("p", {}, tr("No samples.")) : h("p", { class: "muted" }, list.length < n ? tr("The {0} of {1} samples with the largest loss.", whole(list.length), whole(n)) : n === 1 ? tr("The only sample.") : tr("All samples ({0}), the largest loss first.", whole(n))), cards(list));
  }
  const grid = matrix({ title: tr("Rows: true class; columns: predicted class"), names, size: names.length, cell: color,
    text: (a, b) => (counts[a][b] ? (state.share ? (100 * rate(a, b)).toFixed(0) : whole(counts[a][b])) : ""),
    describe: (a, b) => tr("True {0}, predicted {1}: {2} of {3} ({4})", names[a], names[b], whole(counts[a][b]), whole(totals[a]), percent(rate(a, b))), pick,
    words: tr("{0} of the samples are on the diagonal.", percent(R.headline.accuracy.value)),
    help: tr("Click a cell, or use the arrow keys and Enter, to see its samples.") });
  const orderNames = Object.keys(orders);
  const first = names.length > 20 && orders["by confusion"] ? orderNames.indexOf("by confusion") : 0;
  const sort = choice(tr("Order"), orderNames.map((name) => ORDERS[name]), (i) => grid.sort(orders[orderNames[i]]), first);
  grid.sort(orders[orderNames[first]]);
  const units = tabs(tr("Numbers"), trs("counts", "% of the true class"), (i) => { state.share = i === 1; grid.sort(grid.state.order); });
  const list = h("ol", { class: "pairs" }, pairs.slice(0, 12).map(([a, b, n, back], k) => h("li", {}, button([
    h("span", {}, h("b", {}, className(a)), " ", predictedAs(h("b", {}, className(b)))), h("span", { class: "muted" }, parts(n === 1 ? "{0} sample; reverse: {1}" : "{0} samples; reverse: {1}", num(`confusion.pairs.${k}.2`, whole), num(`confusion.pairs.${k}.3`, whole)))],
  () => { const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }, { class: "pair" }))));
  panel("confusion", tr("Confusion matrix"), shown.length < R.classes.length ? tr("The {0} of {1} classes with the most errors.", whole(shown.length), whole(R.classes.length)) : null,
    h("div", { class: "controls" }, sort, units),
    h("div", { class: names.length > 40 ? "" : "columns wide-left" }, grid, h("div", {}, h("h3", {}, tr("Most frequent confusions")), pairs.length ? list : h("p", {}, tr("All samples are classified correctly.")))), place,
    numbers(trs("true", "predicted", "samples", "reverse"), pairs.map(([a, b, n, back]) => [className(a), className(b), whole(n), whole(back)]), { caption: tr("Most frequent confusions"), left: 2 }));
  if (pairs.length) { const [a, b] = pairs[0]; const place_ = [shown.indexOf(a), shown.indexOf(b)]; if (!place_.includes(-1)) grid.choose(...place_); }
}

function marginsPanel() {
  const m = R.margins;
  const total = m.counts[0].map((_, i) => m.counts.reduce((sum, row) => sum + row[i], 0));
  const marks = [{ x: 0, text: m.delta === null ? tr("0: errors to the left") : "0" }];
  if (m.delta !== null) marks.push({ x: m.delta, text: `Δ = ${short(m.delta)}` });
  const bars = histogram({ title: tr("Distribution of the margins"), edges: m.edges, counts: total, marks, xLabel: tr("margin") });
  const words = h("p", { "aria-live": "polite" });
  const show = (i) => {
    const k = i - 1;
    bars.set(i ? m.counts[k] : total);
    const which = i ? tr("the samples of {0}", className(k)) : tr("all samples");
    const wrong = i ? m.wrong[k] : m.all_wrong, inside = i ? m.inside[k] : m.all_inside;
    const path = (name) => (i ? `margins.${name}.${k}` : `margins.all_${name}`);
    words.replaceChildren(...(m.delta === null
      ? parts("Of {0}, {1} are misclassified (margin below 0).", which, num(path("wrong"), percent))
      : parts("Of {0}, {1} are misclassified (margin below 0); {2} have a margin below Δ = {3} and thus a loss above 0.", which, num(path("wrong"), percent), num(path("inside"), percent), short(m.delta))));
  };
  panel("margins", tr("Margins"), m.delta === null ? tr("The margin is the score of the true class minus the largest other score. Cross-entropy has no margin parameter: every sample has a positive loss, which decreases as its margin grows.")
    : tr("The margin is the score of the true class minus the largest other score. Only samples with a margin below Δ have a positive loss."),
  h("div", { class: "controls" }, choice(tr("Class"), [tr("all"), ...R.classes], show)), bars, words,
  numbers(trs("from", "to", "samples"), total.map((n, i) => [short(m.edges[i], 3), short(m.edges[i + 1], 3), whole(n)]), { caption: tr("Margins of all samples"), left: 0 }));
  show(0);
}

// -- calibration ------------------------------------------------------------------------------------------

function calibrationPanel() {
  const c = R.calibration;
  const curve = (name, path, color, dash) => ({ name, color, dash, dots: true, x: c[path].bins.map((bin) => bin.confidence), y: c[path].bins.map((bin) => bin.accuracy) });
  const fitted = !c.probabilistic && c.temperature !== null;
  const [own, other] = fitted ? trs("temperature from cross-validation", "temperature of these samples") : trs("uncalibrated", "temperature scaling");
  const state = [curve(own, "before", "--c1"), curve(other, "after", "--c2", true)];
  panel("calibration", tr("Calibration"), c.words,
    h("div", { class: "columns" },
      h("div", {}, lineChart({ title: tr("Reliability diagram (calibrated on the diagonal)"), diagonal: true, xLabel: tr("confidence"), yLabel: tr("accuracy"), xFormat: percent, yFormat: percent, xRange: [0, 1], yRange: [0, 1], height: 320, series: state }),
        table([tr("scores"), "ECE", tr("log loss")], [[own, num("calibration.before.ece", percent, 2), num("calibration.before.mean_loss")],
          [other, num("calibration.after.ece", percent, 2), num("calibration.after.mean_loss")]], { caption: tr("Calibration") }),
        note(tr("ECE: expected calibration error. "), fitted ? parts("The temperature of the model, {0}, is from cross-validation. ", num("calibration.temperature", short, 4)) : "",
          parts("Temperatures of the two halves: {0} and {1}; each is fitted on one half of the samples and evaluated on the other.", num("calibration.temperatures.0", short, 4), num("calibration.temperatures.1", short, 4)),
          c.temperature !== null ? "" : tr(" The loss of this model does not give probabilities; the softmax of its scores is used instead.")),
        numbers(trs("confidence from", "to", "samples", "mean confidence", "accuracy"), c.before.bins.map((bin, k) => [percent(bin.low, 0), percent(bin.high, 0), num(`calibration.before.bins.${k}.n`, whole), num(`calibration.before.bins.${k}.confidence`, percent), num(`calibration.before.bins.${k}.accuracy`, percent)]), { caption: tr("Reliability, {0}", own), left: 0 })),
      h("div", {}, lineChart({ title: tr("Risk–coverage curve: error rate if only the most confident predictions are made"), xLabel: tr("coverage"), yLabel: tr("error rate"), xFormat: percent, yFormat: percent, xRange: [0, 1], height: 320,
        series: [{ name: c.temperature !== null ? tr("by the largest probability") : tr("by the difference of the two largest scores"), color: "--c1", x: c.coverage, y: c.risk }] }),
      note(parts("Area under the curve: {0}. The curve is flat if the confidence is unrelated to the errors.", num("calibration.area", short, 4))),
      numbers(trs("coverage", "error rate"), c.coverage.map((share, k) => [percent(share), percent(c.risk[k], 2)]), { caption: tr("Risk and coverage"), left: 0 }))));
}

function dataErrorsPanel() {
  const errors = R.data_errors;
  const section = panel("data-errors", tr("Label errors and duplicates"), errors.words);
  if (errors.labels.length) {
    section.append(h("h3", {}, tr("Probable label errors (probability of the predicted and of the given class)")),
      h("div", { class: "cards" }, errors.labels.map((suspect, k) => sampleCard(suspect.sample, h("span", { class: "muted" }, parts("{0} vs. {1}", num(`data_errors.labels.${k}.probability`, percent, 0), num(`data_errors.labels.${k}.given`, percent, 1)))))));
  }
  if (errors.duplicates.length) {
    const one = (name, label, picture) => h("span", { class: "twin" }, thumb(picture, name), h("span", {}, h("b", {}, label), h("span", { class: "muted small" }, name)));
    section.append(h("h3", {}, tr("Near-duplicates")),
      h("ul", { class: "twins" }, errors.duplicates.map((pair, k) => h("li", {}, one(pair.first, pair.first_label, pair.first_picture), one(pair.second, pair.second_label, pair.second_picture),
        h("span", {}, pair.exact ? tr("identical") : parts("correlation {0}", num(`data_errors.duplicates.${k}.similarity`, fixed, 4)), pair.leaked ? h("span", { class: "tag" }, tr("second: training set")) : null,
          pair.first_label !== pair.second_label ? h("span", { class: "tag wrong" }, tr("labels differ")) : null)))));
  }
}

function laboratoryPanel() {
  panel("laboratory", tr("Try the losses"), tr("These examples do not depend on the model. They use the formulas of the library."),
    h("h3", {}, tr("Three scores")), scoresLab(), h("h3", {}, tr("A classifier of points in a plane")), planeLab());
}
