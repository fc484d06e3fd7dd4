// The three losses as the library defines them; the tests compare them with the library.
const Losses = {
  // Each returns the terms (per class), their sum and dL/ds of one row of scores.
  hinge(scores, y, delta) {
    const terms = scores.map((score, j) => (j === y ? 0 : Math.max(0, score - scores[y] + delta)));
    const gradient = scores.map((score, j) => (j !== y && score - scores[y] + delta > 0 ? 1 : 0));
    gradient[y] = -gradient.reduce((a, b) => a + b, 0);
    return { terms, value: terms.reduce((a, b) => a + b, 0), gradient };
  },
  squared_hinge(scores, y, delta) {
    const over = scores.map((score, j) => (j === y ? 0 : Math.max(0, score - scores[y] + delta)));
    const terms = over.map((u) => u * u);
    const gradient = over.map((u) => 2 * u);
    gradient[y] = -gradient.reduce((a, b) => a + b, 0);
    return { terms, value: terms.reduce((a, b) => a + b, 0), gradient };
  },
  cross_entropy(scores, y) {
    const top = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - top));
    const sum = weights.reduce((a, b) => a + b, 0);
    const terms = weights.map((weight) => weight / sum);
    const gradient = [...terms];
    // The sum of the others, not p - 1, and log1p if the true class leads: else all digits cancel when p is nearly 1.
    gradient[y] = -terms.reduce((a, p, j) => (j === y ? a : a + p), 0);
    const others = scores.reduce((a, score, j) => (j === y ? a : a + Math.exp(score - scores[y])), 0);
    const value = scores[y] === top ? Math.log1p(others) : Math.log(sum) - (scores[y] - top);
    return { terms, value, gradient };
  },
};
// F = mean loss + reg·ΣW² and its gradient; X is (N, D), W is (D, C).
function objectiveAt(loss, delta, X, y, W, b, reg) {
  const C = b.length, N = X.length;
  const dW = W.map((row) => row.map((w) => 2 * reg * w));
  const db = b.map(() => 0);
  let data = 0;
  const rows = X.map((x, i) => {
    const scores = b.map((bias, c) => bias + x.reduce((sum, value, d) => sum + value * W[d][c], 0));
    const one = Losses[loss](scores, y[i], delta);
    data += one.value / N;
    for (let c = 0; c < C; c++) {
      db[c] += one.gradient[c] / N;
      x.forEach((value, d) => { dW[d][c] += (value * one.gradient[c]) / N; });
    }
    return { scores, ...one };
  });
  const penalty = reg * W.flat().reduce((sum, w) => sum + w * w, 0);
  return { value: data + penalty, data, penalty, dW, db, rows };
}
