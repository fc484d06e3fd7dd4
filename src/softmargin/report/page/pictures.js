// Pictures of weights, shared by the report and the pages to learn from.
function floats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}
const WARM = [222, 98, 26], COLD = [36, 99, 214];
const diverging = (t) => mix(rgb("--card"), t < 0 ? COLD : WARM, Math.min(1, Math.abs(t)));

// A picture of values: 3 channels as colours around grey, 1 channel as blue (negative) to orange (positive).
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
// A robust maximum (99.5 % quantile): a few extreme pixels must not hide all others.
function extent(values) {
  const sizes = Float32Array.from(values, Math.abs).sort();
  return sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
}
