// Bars and curves that follow a slider: they are drawn again at once, so the page does not move.

// A horizontal bar from zero, on a scale from `low` to `high`.
function barTrack(value, low, high, color = "--c1") {
  const at = (x) => (100 * (Math.max(low, Math.min(high, x)) - low)) / (high - low);
  const [from, to] = [Math.min(0, value), Math.max(0, value)].map(at);
  return h("div", { class: "track", "aria-hidden": true }, h("div", { class: "track-bar", style: { left: `${from}%`, width: `${to - from}%`, background: `var(${color})` } }),
    low < 0 ? h("div", { class: "track-zero", style: { left: `${at(0)}%` } }) : null);
}

// `now()` returns {words, lines: [{name, color, x, y, dash}], points: [{x, y, color}], verticals: [{x, text}]};
// `pick`, if given, receives the x under a pointer that is down. Values that `yLog` cannot show are left out.
function livePlot({ title, xLabel, yLabel, xRange, yRange, yLog, height = 260, pick }, now) {
  const box = h("div", { class: "chart live" });
  const keys = h("ul", { class: "legend" });
  let place = null;
  const drawn = responsive(box, (width) => {
    const { words, lines, points = [], verticals = [] } = now();
    const left = 68, right = 14, top = 14, bottom = 40;
    const x = scale(xRange, left, width - right), y = scale(yRange, height - bottom, top, yLog);
    place = (pixel) => xRange[0] + ((pixel - left) / (width - right - left)) * (xRange[1] - xRange[0]);
    const inside = (v) => Number.isFinite(v) && (!yLog || v > 0) && v >= yRange[0] && v <= yRange[1];
    const xt = ticks(...xRange, width / 90), yt = (yLog ? logTicks : ticks)(...yRange, height / 50);
    const [xTexts, yTexts] = [tickTexts(xt), tickTexts(yt)];
    keys.replaceChildren(...lines.map((line) => h("li", {}, h("span", { class: "key" + (line.dash ? " dashed" : ""), style: { "--key": `var(${line.color})` } }), line.name)));
    box.replaceChildren(drawing(width, height, `${title}. ${words}`, { role: "img" },
      yt.map((t) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }), s("text", { class: "tick", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, yTexts.get(t))]),
      xt.map((t) => [s("line", { class: "grid", x1: x(t), x2: x(t), y1: top, y2: height - bottom }), s("text", { class: "tick", x: x(t), y: height - bottom + 17, "text-anchor": "middle" }, xTexts.get(t))]),
      s("text", { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
      s("text", { class: "axis", transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
      verticals.map((mark) => [s("line", { class: "mark-line", x1: x(mark.x), x2: x(mark.x), y1: top, y2: height - bottom }), markText(x(mark.x), top + 10, width, mark.text)]),
      lines.map((line) => s("polyline", { class: "line" + (line.dash ? " dashed" : ""), style: { "--key": `var(${line.color})` },
        points: line.x.map((value, i) => (inside(line.y[i]) ? `${x(value)},${y(line.y[i])}` : "")).join(" ") })),
      points.filter((point) => inside(point.y)).map((point) => s("circle", { class: "mark", style: { "--key": `var(${point.color})` }, cx: x(point.x), cy: y(point.y), r: 6 }))));
  });
  if (pick) {
    const take = (event) => event.buttons && pick(Math.max(xRange[0], Math.min(xRange[1], place(event.clientX - box.getBoundingClientRect().left))));
    box.addEventListener("pointerdown", take);
    box.addEventListener("pointermove", take);
    box.classList.add("draggable");
  }
  return Object.assign(h("figure", {}, h("figcaption", {}, title), keys, box), { again: drawn.again });
}
// Points from `from` to `to`, ends included.
const spaced = (from, to, n) => [...Array(n).keys()].map((k) => from + ((to - from) * k) / (n - 1));
const indexed = (name, j) => name + "₀₁₂₃₄₅₆₇₈₉"[j];
