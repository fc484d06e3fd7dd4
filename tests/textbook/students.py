"""Correct functions as in course assignments, and mistakes as edits of their text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[..., Any]

NAIVE = """
def loss_function(W, X, y, reg):
    dW = np.zeros(W.shape)
    num_train, num_classes = X.shape[0], W.shape[1]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - scores[y[i]] + 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
    loss /= num_train
    dW /= num_train
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW
"""
"""The hinge, in loops."""

VECTORIZED = """
def loss_function(W, X, y, reg):
    rows, N = np.arange(X.shape[0]), X.shape[0]
    S = X @ W
    M = np.maximum(0, S - S[rows, y][:, None] + 1)
    M[rows, y] = 0
    loss = np.sum(M) / N
    B = (M > 0).astype(float)
    B[rows, y] -= B.sum(axis=1)
    dW = X.T @ B / N
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW
"""
"""The hinge, in NumPy."""

SQUARED_NAIVE = NAIVE.replace("loss += margin", "loss += margin**2").replace("= X[i]\n", "= 2 * margin * X[i]\n")

SQUARED_VECTORIZED = VECTORIZED.replace("np.sum(M)", "np.sum(M**2)").replace(
    "B = (M > 0).astype(float)", "B = 2 * M"
)

SOFTMAX_NAIVE = """
def loss_function(W, X, y, reg):
    dW = np.zeros_like(W)
    num_train, num_classes = X.shape[0], W.shape[1]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        scores -= np.max(scores)
        total = np.sum(np.exp(scores))
        loss += np.log(total) - scores[y[i]]
        for j in range(num_classes):
            p = np.exp(scores[j]) / total
            dW[:, j] += (p - (j == y[i])) * X[i]
    loss /= num_train
    dW /= num_train
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW
"""

SOFTMAX_VECTORIZED = """
def loss_function(W, X, y, reg):
    rows, N = np.arange(X.shape[0]), X.shape[0]
    S = X @ W
    S -= S.max(axis=1, keepdims=True)
    P = np.exp(S)
    P /= P.sum(axis=1, keepdims=True)
    loss = -np.log(P[rows, y]).mean()
    P[rows, y] -= 1
    dW = X.T @ P / N
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW
"""

CORRECT = {
    ("hinge", "naive"): NAIVE,
    ("hinge", "vectorized"): VECTORIZED,
    ("squared_hinge", "naive"): SQUARED_NAIVE,
    ("squared_hinge", "vectorized"): SQUARED_VECTORIZED,
    ("cross_entropy", "naive"): SOFTMAX_NAIVE,
    ("cross_entropy", "vectorized"): SOFTMAX_VECTORIZED,
}
"""Correct functions by loss and style."""


def made(text: str, *edits: tuple[str, str]) -> Function:
    """Return the function of a text after edits, each of which changes all occurrences of a piece."""
    for old, new in edits:
        assert old in text, f"{old!r} does not occur"
        text = text.replace(old, new)
    space: dict[str, Any] = {"np": np}
    exec(text, space)
    return space["loss_function"]


_VALUE_N, _BOTH_N = ("loss /= num_train", "loss /= X.shape[1]"), ("/ N", "/ X.shape[1]")
_ONE_PENALTY = "loss += reg * np.sum(W * W)"
_NO_GRADIENT_PENALTY = ("    dW += 2 * reg * W\n", "")
_LINES = "            if j == y[i]:\n                continue\n"

MISTAKES: list[tuple[str, str, list[str], list[tuple[str, str]]]] = [
    # loss, style, names to find, edits
    ("hinge", "naive", ["counts the target class"], [(_LINES, "")]),
    ("hinge", "vectorized", ["counts the target class"], [("M[rows, y] = 0", "pass")]),
    ("squared_hinge", "vectorized", ["counts the target class"], [("M[rows, y] = 0", "pass")]),
    ("hinge", "naive", ["divides by the number of features instead of samples"],
     [_VALUE_N, ("dW /= num_train", "dW /= X.shape[1]")]),
    ("cross_entropy", "vectorized", ["divides by the number of features instead of samples"],
     [(").mean()", ").sum() / X.shape[1]"), _BOTH_N]),
    ("hinge", "vectorized", ["divides by the number of classes instead of samples"],
     [("/ N", "/ W.shape[1]")]),
    ("hinge", "vectorized", ["uses ½λ"], [("loss += reg", "loss += 0.5 * reg"), ("2 * reg", "reg")]),
    ("cross_entropy", "naive", ["uses ½λ"], [("loss += reg", "loss += 0.5 * reg"), ("2 * reg", "reg")]),
    ("cross_entropy", "naive", ["gradient uses ½λ"], [("2 * reg", "reg")]),
    ("hinge", "vectorized", ["uses ½λ"], [("loss += reg", "loss += 0.5 * reg")]),
    ("hinge", "naive", ["adds the penalty once per sample"],
     [(_ONE_PENALTY, ""), ("scores = X[i]", "loss += num_train * reg * np.sum(W * W); scores = X[i]"),
      ("2 * reg", "2 * num_train * reg")]),
    ("cross_entropy", "vectorized", ["adds the penalty once per sample"],
     [("loss += reg", "loss += N * reg"), ("2 * reg", "2 * N * reg")]),
    ("cross_entropy", "naive", ["divides the penalty by the number of samples"],
     [("loss += reg", "loss += reg / num_train"), ("2 * reg", "2 / num_train * reg")]),
    ("hinge", "vectorized", ["gradient divides the penalty by the number of samples"],
     [("dW = X.T @ B / N", "dW = X.T @ B"), ("2 * reg * W", "2 * reg * W; dW /= N")]),
    ("hinge", "naive", ["takes the sum instead of the mean over the samples"],
     [("    loss /= num_train\n    dW /= num_train\n", "")]),
    ("cross_entropy", "vectorized", ["takes the sum instead of the mean over the samples"],
     [(").mean()", ").sum()"), ("@ P / N", "@ P")]),
    ("hinge", "naive", ["gradient takes the sum instead of the mean over the samples"],
     [("    dW /= num_train\n", "")]),
    ("cross_entropy", "vectorized", ["gradient takes the sum instead of the mean over the samples"],
     [("@ P / N", "@ P")]),
    ("hinge", "naive", ["has no margin"], [(" + 1", "")]),
    ("hinge", "vectorized", ["has no margin"], [(" + 1", "")]),
    ("squared_hinge", "naive", ["has the margin with the wrong sign"], [(" + 1", " - 1")]),
    ("hinge", "vectorized", ["has the margin with the wrong sign"], [(" + 1", " - 1")]),
    ("hinge", "naive", ["reverses the difference of the scores", "gradient has the wrong sign"],
     [("scores[j] - scores[y[i]]", "scores[y[i]] - scores[j]")]),
    ("hinge", "vectorized", ["takes the absolute value instead of clipping at 0"],
     [("np.maximum(0, S - S[rows, y][:, None] + 1)", "np.abs(S - S[rows, y][:, None] + 1)")]),
    ("hinge", "naive", ["gradient lacks the penalty"], [_NO_GRADIENT_PENALTY]),
    ("cross_entropy", "vectorized", ["gradient lacks the penalty"], [_NO_GRADIENT_PENALTY]),
    ("cross_entropy", "vectorized", ["lacks the penalty"], [(f"    {_ONE_PENALTY}\n", ""), _NO_GRADIENT_PENALTY]),
    ("hinge", "naive", ["gradient lacks the target class"], [("                dW[:, y[i]] -= X[i]\n", "")]),
    ("hinge", "naive", ["gradient of the target has the wrong sign"], [("dW[:, y[i]] -=", "dW[:, y[i]] +=")]),
    ("squared_hinge", "vectorized", ["gradient of the target has the wrong sign"],
     [("B[rows, y] -=", "B[rows, y] +=")]),
    ("hinge", "vectorized", ["gradient counts the target class"], [("B[rows, y] -=", "B[rows, y] = 1 -")]),
    ("hinge", "vectorized", ["gradient of the target counts one violation per sample"],
     [("B[rows, y] -= B.sum(axis=1)", "B[rows, y] -= B.max(axis=1)")]),
    ("cross_entropy", "naive", ["gradient does not subtract 1 at the target class"], [(" - (j == y[i])", "")]),
    ("cross_entropy", "vectorized", ["gradient does not subtract 1 at the target class"],
     [("    P[rows, y] -= 1\n", "")]),
    ("cross_entropy", "vectorized", ["gradient subtracts 1 in whole columns"],
     [("P[rows, y] -= 1", "P[:, y] -= 1")]),
    ("cross_entropy", "vectorized", ["gradient lacks the other classes"],
     [("P[rows, y] -= 1", "P = np.where(np.arange(P.shape[1]) == y[:, None], P - 1, 0)")]),
    ("cross_entropy", "naive", ["gradient takes the probability of the target for every class"],
     [("p = np.exp(scores[j])", "p = np.exp(scores[y[i]])")]),
    ("squared_hinge", "vectorized", ["gradient is half of the correct one"], [("B = 2 * M", "B = M + 0")]),
    ("squared_hinge", "naive", ["gradient does not square the hinge", "gradient is twice the correct one"],
     [("2 * margin * X", "2 * X")]),
    ("squared_hinge", "vectorized", ["squares the sum instead of each violation"],
     [("np.sum(M**2)", "np.sum(M.sum(axis=1) ** 2)")]),
    ("cross_entropy", "naive", ["overflows for large scores"], [("scores -= np.max(scores)", "pass")]),
    ("cross_entropy", "vectorized", ["overflows for large scores"],
     [("S -= S.max(axis=1, keepdims=True)", "pass")]),
    ("cross_entropy", "vectorized", ["subtracts the maximum of all scores instead of that of each row"],
     [("S.max(axis=1, keepdims=True)", "S.max()")]),
    ("cross_entropy", "vectorized", ["normalizes over the samples instead of the classes"],
     [("P.sum(axis=1, keepdims=True)", "P.sum(axis=0)")]),
    ("cross_entropy", "naive", ["takes logarithms to base 10"],
     [("np.log(total) - scores[y[i]]", "np.log10(total) - scores[y[i]] / np.log(10)")]),
    ("cross_entropy", "vectorized", ["has no logarithm"], [("-np.log(P[rows, y])", "(1 - P[rows, y])")]),
    ("hinge", "vectorized", ["modifies W"],
     [("    loss += reg", "    W *= 1.5; W /= 3; W *= 2 - 1e-9\n    loss += reg")]),
    ("hinge", "vectorized", ["modifies X"], [("S = X @ W", "X -= 1e-13; S = X @ W")]),
    ("hinge", "vectorized", ["takes the labels as 1 to C"], [("S = X @ W", "y = y - 1; S = X @ W")]),
    ("cross_entropy", "naive", ["takes class 0 as the target of every sample"], [("y[i]", "0")]),
    ("cross_entropy", "vectorized", ["ignores y"], [("rows, y]", "rows, rows % 2]")]),
    ("cross_entropy", "vectorized", ["ignores W, X and y", "gradient ignores W"],
     [("S = X @ W", "S = X @ np.zeros_like(W)")]),
    ("hinge", "naive", ["stops at the target class"], [("continue", "break")]),
    ("hinge", "naive", ["leaves out the last class"], [("range(num_classes)", "range(num_classes - 1)")]),
    ("hinge", "naive", ["leaves out the last sample"], [("range(num_train)", "range(num_train - 1)")]),
    ("cross_entropy", "naive", ["keeps only the last sample"], [("loss += np.log", "loss = np.log")]),
    ("hinge", "naive", ["penalizes the norm of W without its square"], [("np.sum(W * W)", "np.linalg.norm(W)")]),
    ("hinge", "vectorized", ["penalizes the absolute values of W"],
     [("np.sum(W * W)", "np.sum(abs(W))"), ("2 * reg * W", "reg * np.sign(W)")]),
    ("cross_entropy", "vectorized", ["leaves the last row of W out of the penalty"],
     [("np.sum(W * W)", "np.sum(W[:-1] ** 2)"), ("dW += 2 * reg * W", "dW[:-1] += 2 * reg * W[:-1]")]),
    ("cross_entropy", "naive", ["adds ½ΣW² without λ", "lacks the penalty", "gradient uses ½λ"],
     [("reg * np.sum(W * W)", ".5 * np.sum(W * W)"), ("2 * reg", "reg")]),
    ("hinge", "vectorized", ["has a penalty that is not proportional to λ"], [("loss += reg", "loss += reg**2")]),
    ("hinge", "naive", ["gradient lacks the data loss", "gradient lacks the penalty"],
     [("return loss, dW", "return loss, 0 * dW")]),
    ("hinge", "vectorized", ["multiplies the data loss by reg instead of the penalty"],
     [("np.sum(M) / N", "reg * np.sum(M) / N"), ("loss += reg *", "loss +="), ("X.T @ B", "reg * X.T @ B"),
      ("2 * reg * W", "2 * W")]),
    ("cross_entropy", "naive", ["takes the last class as the target of every sample"],
     [("scores[y[i]]", "scores[num_classes - 1]")]),
    ("cross_entropy", "vectorized", ["gradient multiplies that of the penalty by ΣW²"],
     [("loss += reg * np.sum(W * W)", "reg = reg * np.sum(W * W); loss += reg")]),
    ("hinge", "naive", ["gradient adds λ times the sum of W to each entry"],
     [("2 * reg * W", "reg * np.sum(W)")]),
    ("hinge", "vectorized", ["gradient adds the value of the penalty to each entry"],
     [("2 * reg * W", "reg * np.sum(W**2)")]),
    ("cross_entropy", "vectorized", ["gradient adds that of Σ|W| without λ", "gradient lacks the penalty"],
     [("dW += 2 * reg * W", "dW += np.sign(W)")]),
    # two mistakes at once
    ("hinge", "vectorized",
     ["counts the target class", "divides by the number of features instead of samples", "uses ½λ"],
     [("M[rows, y] = 0", "pass"), ("/ N", "/ X.shape[1]"), ("loss += reg", "loss += 0.5 * reg"),
      ("2 * reg", "reg")]),
    ("cross_entropy", "naive",
     ["takes the sum instead of the mean over the samples", "lacks the penalty", "overflows for large scores"],
     [("    loss /= num_train\n    dW /= num_train\n", ""), (f"    {_ONE_PENALTY}\n", ""), _NO_GRADIENT_PENALTY,
      ("scores -= np.max(scores)", "pass")]),
    ("hinge", "naive",
     ["gradient lacks the target class", "gradient divides by the number of features instead of samples"],
     [("                dW[:, y[i]] -= X[i]\n", ""), ("dW /= num_train", "dW /= X.shape[1]")]),
]  # fmt: skip
"""Mistakes of students, with what the report has to name, and nothing else."""
