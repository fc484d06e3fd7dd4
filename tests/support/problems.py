"""Problems for the tests, and their optima, computed independently of the package."""

import os
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp, softmax
from threadpoolctl import threadpool_limits

import softmargin as sm

DTYPES = (np.uint8, np.int8, np.bool_, np.int16, np.int32, np.int64, np.uint16, np.float16, np.float32, np.float64)


def n_cases(usual, nightly):
    """Return how many random cases to try: the larger number if SOFTMARGIN_TESTS is "nightly"."""
    return nightly if os.environ.get("SOFTMARGIN_TESTS") == "nightly" else usual


@dataclass
class Problem:
    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    n_classes: int
    delta: float
    reg: float
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    def losses(self):
        return sm.Hinge(self.delta), sm.SquaredHinge(self.delta), sm.CrossEntropy()

    def objective(self, loss, engine="cpu", **options):
        options = {"engine": engine, "n_classes": self.n_classes, "mean": self.mean, "scale": self.scale} | options
        return sm.Objective(loss, self.X, self.y, self.reg, self.weights, **options)

    def features(self):
        """Return X after centring and scaling, with rounding."""
        X = self.X.astype(float)
        return X if self.scale is None else (X - self.mean) * self.scale

    def point(self, seed=0):
        rng = np.random.default_rng(seed)
        shape = (self.X.shape[1], self.n_classes)
        size = max(1.0, float(np.abs(self.features()).max()))
        return rng.normal(size=shape) / size, rng.normal(size=self.n_classes)


def random_problem(seed):
    """Return a small ragged problem: any type of X, weights with zeros, two to forty classes."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[seed % len(DTYPES)]
    n_classes = int(rng.choice([2, 2, 3, 3, 4, 5, 7, 10, 13, 40], p=[0.12] * 8 + [0.03, 0.01]))
    n_features = int(rng.integers(1, 9 if n_classes < 40 else 4))
    n_samples = n_classes + int(rng.integers(1, 50))
    centres = rng.normal(size=(n_classes, n_features)) * rng.choice([0.3, 1.0, 3.0])
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_samples - n_classes)])
    X = centres[y] + rng.normal(size=(n_samples, n_features))
    if np.dtype(dtype).kind in "ui":
        X = X * 12.0 + (64.0 if np.dtype(dtype).kind == "u" else 0.0)
        X = np.clip(X, np.iinfo(dtype).min, np.iinfo(dtype).max)
    X = X > 0 if dtype is np.bool_ else X.astype(dtype)
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n_samples) if seed % 3 else np.ones(n_samples)
    weights[:n_classes] = rng.uniform(0.5, 1.5, n_classes)  # each class has positive weight
    size = float((X.astype(float).var(axis=0)).mean()) + 0.1
    reg = size * 10.0 ** rng.uniform(-4, 1)
    return Problem(X, y, weights, n_classes, float(rng.choice([0.5, 1.0, 3.0])), reg)


def spread(problem, seed):
    """Return the problem with columns of sizes 1e-8 … 1e8, the scale that undoes this, and a random mean."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-8.0, 8.0, problem.X.shape[1])
    mean = rng.normal(size=len(sizes)) * sizes * rng.choice([0.0, 1.0, 100.0])
    return replace(problem, X=problem.X.astype(float) * sizes, mean=mean, scale=1.0 / sizes)


@threadpool_limits.wrap(limits=1)  # threads inside such small systems thrash
def optimum(problem, loss_name):
    """Return close bounds on min F, (lower, upper), by Newton's method with plain NumPy formulas.

    The hinge is smoothed: with Huber's function of width μ its F lies between the smoothed F and that plus
    μ/2 for each pair, so a small μ leaves a small bracket.
    """
    X = np.hstack([problem.X.astype(np.float64), np.ones((len(problem.y), 1))])
    mean = problem.weights @ X[:, :-1] / problem.weights.sum()
    X[:, :-1] -= mean  # no change for an unpenalised bias, but much better conditioned
    weights = problem.weights / problem.weights.sum()
    n_features, n_classes = X.shape[1], problem.n_classes
    one_hot = np.eye(n_classes)[problem.y]
    penalty = np.ones((n_features, n_classes))
    penalty[-1] = 0.0
    widths = 2.0 * 10.0 ** -np.arange(0.0, 9.1, 0.25) * problem.delta if loss_name == "hinge" else [None]

    def values(P, width):
        S = X @ P
        if loss_name == "cross_entropy":
            return logsumexp(S, axis=1) - (S * one_hot).sum(axis=1)
        u = S - (S * one_hot).sum(axis=1, keepdims=True) + problem.delta
        u = np.where(one_hot == 1.0, 0.0, np.maximum(u, 0.0))
        if loss_name == "squared_hinge":
            return (u**2).sum(axis=1)
        if width == 0.0:
            return u.sum(axis=1)
        return np.where(u < width, u**2 / (2 * width), u - width / 2).sum(axis=1)

    def F(P, width):
        return weights @ values(P, width) + problem.reg * (penalty * P**2).sum()

    def derivatives(P, width):
        S = X @ P
        if loss_name == "cross_entropy":
            p = softmax(S, axis=1)
            A, H = p - one_hot, np.einsum("ij,jk->ijk", p, np.eye(n_classes)) - np.einsum("ij,ik->ijk", p, p)
        else:
            u = S - (S * one_hot).sum(axis=1, keepdims=True) + problem.delta
            active = np.where(one_hot == 1.0, 0.0, (u > 0).astype(float))
            if loss_name == "squared_hinge":
                t, h = 2 * active * u, 2 * active
            else:
                t, h = active * np.minimum(u / width, 1.0), active * (u < width) / width
            A = t - one_hot * t.sum(axis=1, keepdims=True)
            # H = Σ_j h_j (e_j - e_y)(e_j - e_y)ᵀ
            H = np.einsum("ij,jk->ijk", h, np.eye(n_classes)) - np.einsum("ij,ik->ijk", h, one_hot)
            H -= np.einsum("ij,ik->ijk", one_hot, h)
            H += np.einsum("ij,ik,i->ijk", one_hot, one_hot, h.sum(axis=1))
        gradient = X.T @ (weights[:, None] * A) + 2 * problem.reg * penalty * P
        hessian = np.einsum("i,iab,ic,id->cadb", weights, H, X, X, optimize=True)
        hessian = hessian.reshape(n_features * n_classes, -1) + np.diag(2 * problem.reg * penalty.ravel())
        return gradient.ravel(), hessian

    P = np.zeros((n_features, n_classes))
    for width in widths:
        damping = 1e-12
        for _ in range(500):
            gradient, hessian = derivatives(P, width)
            size = np.trace(hessian) / len(hessian)
            while damping < 1e12:  # Levenberg–Marquardt: increase damping until F decreases
                step = np.linalg.solve(hessian + damping * size * np.eye(len(hessian)), gradient)
                if F(P - step.reshape(P.shape), width) <= F(P, width) - 1e-4 * (step @ gradient):
                    break
                damping *= 8.0
            else:
                break
            P = P - step.reshape(P.shape)
            damping = max(damping / 8.0, 1e-12)
            if step @ gradient < 1e-15 * F(P, width):
                break
    if loss_name == "hinge":
        return F(P, widths[-1]), F(P, 0.0)
    return F(P, None), F(P, None)
