// Charts as SVG, drawn at their current width; each has a cursor for mouse and keyboard.

function ticks(low, high, n) {
  const rough = (high - low) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}
function logTicks(low, high, n) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return ticks(low, high, n);
  const every = Math.max(1, Math.ceil((last - first) / n));
  const found = [];
  for (let k = first; k <= last; k += every) found.push(10 ** k);
  return found;
}
// Labels with as many digits as are needed to distinguish them.
function tickTexts(list) {
  for (let digits = 3; digits < 9; digits++) {
    const texts = list.map((t) => short(t, digits));
    if (new Set(texts).size === list.length) return new Map(list.map((t, k) => [t, texts[k]]));
  }
  return new Map(list.map((t) => [t, short(t, 9)]));
}

function scale(values, from, to, log, pad = 0) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) [low, high] = [Math.log10(low), Math.log10(high)];
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const extra = pad * (high - low);
  [low, high] = [low - extra, high + extra];
  const place = (x) => from + (((log ? Math.log10(x) : x) - low) / (high - low)) * (to - from);
  return Object.assign(place, { low: log ? 10 ** low : low, high: log ? 10 ** high : high });
}

// A drawing with a description for screen readers, which skip its parts.
const drawing = (width, height, words, attributes, ...children) =>
  s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": words, ...attributes }, s("g", { "aria-hidden": true }, children));
// A drawing with a cursor: the pointer moves it to the nearest value, the arrow keys to the next; `say` shows it.
function chart(width, height, words, { count, near, say, start = -1 }, ...children) {
  const svg = drawing(width, height, tr("{0} {1}", words, tr("Use the arrow keys to read the values.")), { role: "application", "aria-roledescription": tr("chart"), tabindex: 0 }, ...children);
  let place = start;
  const show = (k) => { place = Math.max(0, Math.min(count - 1, k)); say(place); };
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    show(near(event.clientX - frame.left, event.clientY - frame.top));
  });
  svg.addEventListener("keydown", (event) => {
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: count - 1 }[event.key];
    if (next !== undefined) { event.preventDefault(); show(next); }
  });
  if (place >= 0) show(place);
  return svg;
}
const nearest = (list, distance) => list.reduce((best, one, k) => (distance(one, k) < distance(list[best], best) ? k : best), 0);
// The width of a text in letters; an East Asian character is nearly as wide as two.
const span = (text) => [...text].reduce((sum, c) => sum + (c >= "\u2e80" ? 1.75 : 1), 0);
function shortened(text, letters) {
  if (span(text) <= letters) return text;
  let kept = "";
  for (const c of text) if (span(kept + c) <= letters - 1) kept += c; else break;
  return kept + "…";
}
// The name of a mark, on the side of its line that has space.
function markText(at, y, width, text) {
  const left = at + 5 + 7 * span(text) > width;
  return s("text", { class: "mark-text", x: left ? at - 5 : at + 5, y, "text-anchor": left ? "end" : "start" }, text);
}
const readings = () => h("output", { class: "readout", "aria-live": "polite" });

// series: {name, color, x, y, low, high, dash, dots, step}; null where there is no value.
function lineChart({ title, series, xLabel, yLabel, xLog, yLog, yRange, xRange, marks = [], height = 280, xFormat = short, yFormat = short, diagonal, reverse }) {
  const box = h("div", { class: "chart" });
  const readout = readings();
  const usable = (y) => y !== null && y !== undefined && Number.isFinite(y) && (!yLog || y > 0);
  series = series.filter((line) => line.y.some(usable));
  const xs = series.flatMap((line) => line.x);
  const ys = series.flatMap((line) => [...line.y, ...(line.low || []), ...(line.high || [])]).filter(usable);
  const legend = h("ul", { class: "legend" }, series.map((line) => h("li", {},
    h("span", { class: "key" + (line.dash ? " dashed" : ""), style: { "--key": `var(${line.color})` } }), line.name)));
  let cursor = -1;
  const grid = [...new Set(xs)].sort((a, b) => (reverse ? b - a : a - b));
  const told = series.map((line) => {
    const seen = [...line.x.keys()].filter((i) => usable(line.y[i])).sort((a, b) => (reverse ? line.x[b] - line.x[a] : line.x[a] - line.x[b]));
    const point = (i) => tr("{0} at {1} {2}", yFormat(line.y[i]), xLabel, xFormat(line.x[i]));
    const top = seen.reduce((best, i) => (line.y[i] > line.y[best] ? i : best), seen[0]);
    return tr("{0}: {1}.", line.name, [...new Set([seen[0], seen[seen.length - 1]])].map(point).join(tr(", then ")) + (seen.length > 2 ? tr(", at most {0}", point(top)) : ""));
  });
  responsive(box, (width) => {
    const left = 68, right = 14, top = 12, bottom = 42;
    const x = scale(xRange || xs, reverse ? width - right : left, reverse ? left : width - right, xLog);
    const y = scale(yRange || ys, height - bottom, top, yLog, yRange ? 0 : 0.06);
    const visible = (t, axis) => t >= axis.low * (axis.low > 0 ? 0.999999 : 1.000001) - 1e-12 && t <= axis.high * 1.000001 + 1e-12;
    const xt = (xLog ? logTicks : ticks)(x.low, x.high, width / 90).filter((t) => visible(t, x));
    const yt = (yLog ? logTicks : ticks)(y.low, y.high, height / 55).filter((t) => visible(t, y));
    const [xTexts, yTexts] = [tickTexts(xt), tickTexts(yt)];
    const plot = s("g", {},
      yt.map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
        s("text", { class: "tick", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, yFormat === percent ? percent(t, 0) : yTexts.get(t))]),
      xt.map((t) => [s("line", { class: "grid", x1: x(t), x2: x(t), y1: top, y2: height - bottom }),
        s("text", { class: "tick", x: x(t), y: height - bottom + 18, "text-anchor": "middle" }, xFormat === percent ? percent(t, 0) : xTexts.get(t))]),
      s("text", { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
      s("text", { class: "axis", transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel));
    if (diagonal) plot.append(s("line", { class: "diagonal", x1: x(x.low), y1: y(x.low), x2: x(x.high), y2: y(x.high) }));
    for (const line of series) {
      const points = line.x.map((value, i) => [value, line.y[i], i]).filter((p) => usable(p[1]) && (!xLog || p[0] > 0));
      if (line.low) {
        const edge = (list) => points.filter((p) => usable(list[p[2]])).map((p) => `${x(p[0])},${y(list[p[2]])}`);
        plot.append(s("polygon", { class: "band", style: { "--key": `var(${line.color})` }, points: [...edge(line.high), ...edge(line.low).reverse()].join(" ") }));
      }
      plot.append(s("polyline", { class: "line" + (line.dash ? " dashed" : ""), style: { "--key": `var(${line.color})` }, points: points.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") }));
      if (line.dots || points.length === 1) for (const p of points) plot.append(s("circle", { class: "dot", style: { "--key": `var(${line.color})` }, cx: x(p[0]), cy: y(p[1]), r: line.radius ? line.radius[p[2]] : 2.6 }));
    }
    for (const mark of marks) {
      if (mark.y === undefined) {
        plot.append(s("line", { class: "mark-line", x1: x(mark.x), x2: x(mark.x), y1: top, y2: height - bottom }));
        if (mark.text) plot.append(markText(x(mark.x), top + 12, width, mark.text));
      } else plot.append(s("path", { class: "mark", style: { "--key": `var(${mark.color})` }, d: mark.hollow
        ? `M${x(mark.x) - 6},${y(mark.y)}l6,-6l6,6l-6,6z` : `M${x(mark.x)},${y(mark.y)}m-5.5,0a5.5,5.5 0 1,0 11,0a5.5,5.5 0 1,0 -11,0`,
        fill: mark.hollow ? "none" : null }));
    }
    const line = s("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
    plot.append(line);
    function say(k) {
      const value = grid[cursor = k];
      line.setAttribute("visibility", "visible");
      line.setAttribute("x1", x(value));
      line.setAttribute("x2", x(value));
      const values = series.map((each) => {
        const i = each.x.indexOf(value);
        return i >= 0 && usable(each.y[i]) ? `${each.name} ${yFormat(each.y[i])}` : null;
      }).filter(Boolean);
      readout.textContent = tr("{0} {1}: {2}", xLabel, xFormat(value), values.join(tr(", ")));
    }
    const near = (mouse) => nearest(grid, (value) => Math.abs(x(value) - mouse));
    box.replaceChildren(chart(width, height, [tr("{0}.", title), ...told].reduce((before, next) => tr("{0} {1}", before, next)), { count: grid.length, near, say, start: cursor }, plot));
  });
  return h("figure", {}, h("figcaption", {}, title), legend, box, readout);
}

// A dot and its interval per row on a common scale from 0 to 1, in blocks that fit on a page.
function dotPlot({ title, rows, height = 26, labelWidth = 170, most = 30 }) {
  const box = h("div", { class: "chart blocks" });
  const widest = Math.min(labelWidth, 7.5 * Math.max(...rows.map((row) => span(row.name))) + 18);
  const blocks = [...Array(Math.ceil(rows.length / most)).keys()].map((k) => rows.slice(k * most, (k + 1) * most));
  responsive(box, (width) => {
    const half = Math.floor((width - 33) / 2);
    const part = blocks.length > 1 && half >= 280 && widest <= 0.42 * half ? half : width;
    box.replaceChildren(...blocks.map((block) => dots(title, block, part, height, widest)));
  });
  return h("figure", {}, h("figcaption", {}, title), box);
}
function dots(title, rows, width, height, widest) {
  const left = Math.min(widest, width * 0.42), right = 62;
  const x = (v) => left + v * (width - left - right);
  const total = rows.length * height + 24;
  const letters = Math.max(4, Math.floor((left - 12) / 7.5));
  const words = rows.map((row) => `${row.name} ${row.share.value === null ? tr("no samples") : percent(row.share.value)}`);
  return drawing(width, total, tr("{0}: {1}.", title, words.join(tr(", "))), { role: "img" },
    (width < 460 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).map((t) => [s("line", { class: "grid", x1: x(t), x2: x(t), y1: 0, y2: total - 20 }),
      s("text", { class: "tick", x: x(t), y: total - 5, "text-anchor": "middle" }, percent(t, 0))]),
    rows.map((row, i) => {
      const y = i * height + height / 2;
      const tip = s("title", {}, tr("{0}: {1} ({2} of {3})", row.name, percent(row.share.value), whole(row.share.n_correct), whole(row.share.n)));
      const label = s("text", { class: row.strong ? "row-label strong" : "row-label", x: left - 10, y: y + 4, "text-anchor": "end" }, shortened(row.name, letters));
      if (row.share.value === null) return s("g", {}, tip, label, s("text", { class: "tick", x: left + 6, y: y + 4 }, tr("no samples")));
      return s("g", { class: row.strong ? "row strong" : "row" }, tip, label,
        row.share.low === null ? null : s("line", { class: "whisker", x1: x(row.share.low), x2: x(row.share.high), y1: y, y2: y }),
        s("circle", { class: "row-dot", cx: x(row.share.value), cy: y, r: row.strong ? 6 : 4 }),
        s("text", { class: "row-value", x: width, y: y + 4, "text-anchor": "end" }, percent(row.share.value)));
    }));
}

// Bars between edges, in two parts of one stack or more.
function histogram({ title, edges, counts, marks = [], xLabel, height = 240 }) {
  const box = h("div", { class: "chart" });
  const readout = readings();
  const state = { counts, height };
  const name = (i) => (i === 0 ? tr("below {0}", short(edges[1], 3)) : i === state.counts.length - 1 ? tr("above {0}", short(edges[i], 3)) : tr("{0} to {1}", short(edges[i], 3), short(edges[i + 1], 3)));
  const say = (i) => { readout.textContent = tr("{0}: {1} samples", name(i), whole(state.counts[i])); };
  const drawn = responsive(box, (width) => {
    const left = 48, right = 12, top = 22, bottom = 42;
    const most = Math.max(1, ...state.counts);
    const x = scale(edges, left, width - right, false);
    const y = (v) => state.height - bottom - (v / most) * (state.height - bottom - top);
    const fullest = nearest(state.counts, (n) => -n);
    const near = (mouse) => edges.findIndex((edge, i) => mouse < x(edges[i + 1] ?? Infinity));
    const words = tr("{0}: {1} samples; most of them, {2}, have a {3} of {4}.", title, whole(state.counts.reduce((a, b) => a + b, 0)), whole(state.counts[fullest]), xLabel, name(fullest));
    box.replaceChildren(chart(width, state.height, words, { count: state.counts.length, near, say },
      ticks(0, most, 4).map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
        s("text", { class: "tick", x: left - 7, y: y(t) + 4, "text-anchor": "end" }, whole(t))]),
      state.counts.map((n, i) => s("rect", { class: edges[i] + 1e-12 < 0 && edges[i + 1] <= 1e-9 ? "bar wrong-bar" : marks.length > 1 && edges[i + 1] <= marks[1].x + 1e-9 ? "bar inside-bar" : "bar",
        x: x(edges[i]) + 0.5, width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1), y: y(n), height: state.height - bottom - y(n) })),
      ticks(edges[0], edges[edges.length - 1], width / 90).map((t) => s("text", { class: "tick", x: x(t), y: state.height - bottom + 17, "text-anchor": "middle" }, short(t, 3))),
      marks.map((mark) => [s("line", { class: "mark-line", x1: x(mark.x), x2: x(mark.x), y1: 6, y2: state.height - bottom }),
        markText(x(mark.x), 15, width, mark.text)]),
      s("text", { class: "axis", x: (left + width - right) / 2, y: state.height - 6, "text-anchor": "middle" }, xLabel)));
  });
  return Object.assign(h("figure", {}, h("figcaption", {}, title), box, readout), { set: (c) => { state.counts = c; readout.textContent = ""; drawn.again(); } });
}

// A matrix as a canvas, with a cursor for mouse, touch and arrow keys.
function matrix({ title, names, size, cell, text, describe, pick, help, words }) {
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": tr("matrix"), "aria-label": tr("{0}. {1} {2}", title, words, help) });
  const box = h("div", { class: "scroll matrix" }, canvas);
  const readout = h("output", { class: "readout", "aria-live": "polite" }, help);
  const state = { order: [...Array(size).keys()], row: -1, column: -1, chosen: null, side: 0, left: 0, top: 0 };
  let plain = null;
  const drawn = responsive(box, draw);
  onTheme(drawn.again);
  function draw(width) {
    const narrow = width < 560, steep = size > 24;
    const ruler = canvas.getContext("2d");
    ruler.font = `12px ${css("--sans")}`;
    const longest = Math.max(...names.map((name) => ruler.measureText(name).width));
    const wide = Math.min(narrow ? Math.max(76, 0.28 * width) : 190, longest + 14);
    let side = Math.floor((width - wide - (steep ? 8 : Math.max(40, 0.5 * wide))) / size);
    const labelled = side >= 9 || size <= 40;
    side = Math.max(labelled ? 10 : 5, Math.min(side, 58));
    const left = labelled ? wide : 16, top = labelled ? wide * (steep ? 1 : 0.87) + 8 : 16;
    Object.assign(state, { side, left, top });
    const context = sharp(canvas, left + side * size + (labelled && !steep ? wide * 0.5 : 4), top + side * size + 4);
    const ink = css("--ink");
    context.font = `${Math.min(12, Math.max(9, side - 1))}px ${css("--sans")}`;
    context.textBaseline = "middle";
    const cut = (name) => {
      if (context.measureText(name).width <= wide - 8) return name;
      let fits = 0, not = Math.min(name.length, 200);
      while (not - fits > 1) {
        const n = (fits + not) >> 1;
        if (context.measureText(name.slice(0, n) + "…").width <= wide - 8) fits = n;
        else not = n;
      }
      return name.slice(0, fits) + "…";
    };
    state.order.forEach((a, i) => {
      const y = top + i * side, x = left + i * side;
      if (labelled) {
        context.fillStyle = ink;
        context.textAlign = "right";
        context.fillText(cut(names[a]), left - 6, y + side / 2);
        context.save();
        context.translate(x + side / 2, top - 6);
        context.rotate(steep ? -Math.PI / 2 : -Math.PI / 3);
        context.textAlign = "left";
        context.fillText(cut(names[a]), 0, 0);
        context.restore();
      }
      state.order.forEach((b, j) => {
        const color = cell(a, b);
        context.fillStyle = paint(color);
        context.fillRect(left + j * side, y, side - (side > 9 ? 1 : 0), side - (side > 9 ? 1 : 0));
        const label = text && side >= 22 ? text(a, b) : "";
        if (label) {
          context.fillStyle = inkOn(color);
          context.textAlign = "center";
          context.font = `${side >= 34 ? 12 : label.length > 3 ? 8 : 9.5}px ${css("--sans")}`;
          context.fillText(label, left + j * side + side / 2, y + side / 2);
          context.font = `${Math.min(12, Math.max(9, side - 1))}px ${css("--sans")}`;
        }
      });
    });
    plain = document.createElement("canvas");
    plain.width = canvas.width;
    plain.height = canvas.height;
    plain.getContext("2d").drawImage(canvas, 0, 0);
    mark();
  }
  // The cells are drawn once; the cursor is drawn on a copy.
  function mark() {
    if (!plain) return;
    const context = canvas.getContext("2d");
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(plain, 0, 0);
    context.restore();
    const frame = (i, j, color, line) => {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.strokeRect(state.left + j * state.side + 0.5, state.top + i * state.side + 0.5, state.side - 1, state.side - 1);
    };
    if (state.chosen) frame(...state.chosen.map((k) => state.order.indexOf(k)), css("--accent"), 3);
    if (state.row >= 0) frame(state.row, state.column, css("--muted"), 2);
  }
  function show(row, column) {
    row = Math.max(0, Math.min(size - 1, row));
    column = Math.max(0, Math.min(size - 1, column));
    if (row === state.row && column === state.column) return;
    Object.assign(state, { row, column });
    readout.textContent = describe(state.order[row], state.order[column]);
    mark();
  }
  function choose(a, b) {
    state.chosen = [a, b];
    [state.row, state.column] = state.chosen.map((k) => state.order.indexOf(k));
    readout.textContent = describe(a, b);
    mark();
    if (pick) pick(a, b);
  }
  const under = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [Math.floor((event.clientY - frame.top - state.top) / state.side), Math.floor((event.clientX - frame.left - state.left) / state.side)];
  };
  const inside = ([i, j]) => i >= 0 && j >= 0 && i < size && j < size;
  canvas.addEventListener("pointermove", (event) => { const place = under(event); if (inside(place)) show(...place); });
  canvas.addEventListener("click", (event) => {
    const place = under(event);
    if (inside(place)) { show(...place); choose(state.order[place[0]], state.order[place[1]]); }
  });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (move) { event.preventDefault(); show(state.row + move[0], state.column + move[1]); }
    if ((event.key === "Enter" || event.key === " ") && state.row >= 0) {
      event.preventDefault();
      choose(state.order[state.row], state.order[state.column]);
    }
  });
  const figure = h("figure", {}, h("figcaption", {}, title), box, readout);
  return Object.assign(figure, { canvas, state, choose, sort: (order) => { state.order = [...order]; state.row = state.column = -1; drawn.again(); } });
}
