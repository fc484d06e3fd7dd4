"""F(W, b) = mean loss + reg · ΣW² and its gradient in plain NumPy, for the objective and the baselines."""

import numpy as np


def mean_loss(S, y, loss):
    """Return the mean loss of scores S (N, C) and its derivative by S, a subgradient where there is a kink."""
    rows = np.arange(len(y))
    target = S[rows, y]
    if loss == "cross_entropy":
        top = S.max(axis=1)
        E = np.exp(S - top[:, None])
        total = E.sum(axis=1)
        values, G = np.log(total) + top - target, E / total[:, None]
        G[rows, y] -= 1.0
        return values.mean(), G / len(y)
    V = np.maximum(S - target[:, None] + 1.0, 0.0)
    V[rows, y] = 0.0
    G = 2.0 * V if loss == "squared_hinge" else (V > 0.0).astype(np.float64)
    G[rows, y] = -G.sum(axis=1)
    return (V**2 if loss == "squared_hinge" else V).sum() / len(y), G / len(y)


def objective(X, y, loss, reg, W, b):
    """Return F; X (N, D) may be sparse, W is (D, C), b (C,)."""
    return mean_loss(np.asarray(X @ W) + b, y, loss)[0] + reg * (W**2).sum()


def value_and_gradient(X, y, loss, reg, fit_intercept, P):
    """Return F and its gradient at P (D + 1, C), whose last row is b."""
    W, b = P[:-1], P[-1]
    value, G = mean_loss(np.asarray(X @ W) + b, y, loss)
    last = G.sum(axis=0) if fit_intercept else np.zeros_like(b)
    return value + reg * (W**2).sum(), np.vstack([np.asarray(X.T @ G) + 2.0 * reg * W, last])


def two_columns(w, b=0.0):
    """Return W (D, 2) and b (2,) of one weight vector; its λΣW² is ½λ|w|²."""
    w, b = np.ravel(w) / 2.0, float(np.ravel(b)[0]) / 2.0
    return np.stack([-w, w], axis=1), np.array([-b, b])
