"""Certificates recomputed with 50 digits: ``python -m tests.soundness [PROBLEMS]`` prints how many were false.

The problems are small and random: any type of X, weights with zeros, any Δ. Each is also used with columns of very
different sizes behind a mean and a scale. For each loss, at the end of a fit and at other points, F and the dual
value are computed from the same dual rows, feasible and balanced exactly, and compared with the float64 results.
"""

import sys
import warnings

import mpmath
import numpy as np

import softmargin as sm
from softmargin.affine import Affine
from softmargin.engines import make_engine
from softmargin.errors import ConvergenceWarning
from softmargin.losses import SmoothedHinge
from softmargin.objective import PenalizedLoss
from softmargin.objective.features import Features
from softmargin.samples import Samples
from tests.support.problems import random_problem, spread

mp = mpmath.mp.clone()
mp.dps = 50


class Exact:
    """One problem and one loss in 50 digits; rows are lists of mpf."""

    def __init__(self, problem, loss):
        self.loss, self.C = loss, problem.n_classes
        used = np.flatnonzero(problem.weights > 0)
        self.used, self.y = used, [int(label) for label in problem.y[used]]
        self.X = [[mp.mpf(float(value)) for value in row] for row in problem.X[used].astype(np.float64)]
        if problem.scale is not None:
            mean, scale = ([mp.mpf(float(v)) for v in vector] for vector in (problem.mean, problem.scale))
            self.X = [[(x - m) * d for x, m, d in zip(row, mean, scale, strict=True)] for row in self.X]
        weights = [mp.mpf(float(w)) for w in problem.weights[used]]
        total = mp.fsum(weights)
        self.weights = [w / total for w in weights]
        self.reg, self.delta = mp.mpf(problem.reg), mp.mpf(problem.delta)
        self.shares = [
            mp.fsum(w for w, y in zip(self.weights, self.y, strict=True) if y == c) for c in range(self.C)
        ]

    def scores(self, W, b):
        columns = [[mp.mpf(float(w)) for w in column] for column in W.T]
        b = [mp.mpf(float(v)) for v in b]
        return [[mp.fdot(x, column) + v for column, v in zip(columns, b, strict=True)] for x in self.X]

    def value(self, W, b):
        losses = [w * self.row_loss(s, y) for w, s, y in zip(self.weights, self.scores(W, b), self.y, strict=True)]
        return mp.fsum(losses) + self.reg * mp.fsum(mp.mpf(float(w)) ** 2 for w in W.ravel())

    def row_loss(self, s, y):
        if self.loss.name == "cross_entropy":
            return mp.log1p(mp.fsum(mp.exp(s[j] - s[y]) for j in range(self.C) if j != y))
        u = [max(s[j] - s[y] + self.delta, 0) for j in range(self.C) if j != y]
        return mp.fsum(u) if self.loss.name == "hinge" else mp.fsum(v * v for v in u)

    def rows_at(self, W, b, width=None):
        """Return dL/ds at a point, of the smoothed hinge if a width is given."""
        rows = []
        for s, y in zip(self.scores(W, b), self.y, strict=True):
            if self.loss.name == "cross_entropy":
                top = max(s)
                weights = [mp.exp(v - top) for v in s]
                a = [v / mp.fsum(weights) for v in weights]
            else:
                u = [v - s[y] + self.delta for v in s]
                if width is not None:
                    a = [min(max(v / width, 0), 1) for v in u]
                else:
                    a = [mp.mpf(v > 0) if self.loss.name == "hinge" else 2 * max(v, 0) for v in u]
            rows.append(self.with_target(a, y))
        return rows

    def rows_from(self, A, shift):
        """Return given rows (N, C), made feasible and rebalanced as the library documents it."""
        shift, rows = [mp.mpf(float(v)) for v in shift], []
        for row, y in zip(A[self.used], self.y, strict=True):
            a = [max(mp.mpf(float(v)), 0) for v in row]
            a[y] = mp.mpf(0)
            if self.loss.name == "cross_entropy":
                total = max(mp.fsum(a), 1)
                a = [v / total for v in a]
                a[y] = 1 - mp.fsum(a)
                a = [v * mp.exp(c) for v, c in zip(a, shift, strict=True)]
                a = [v / mp.fsum(a) for v in a]
            elif self.loss.name == "hinge":
                a = [min(v, 1) for v in a]
                a = [min(max(v + v * (1 - v) * (c - shift[y]), 0), 1) for v, c in zip(a, shift, strict=True)]
            else:
                steps = [2 * (c - shift[y]) for c in shift]
                a = [max(v + step, 0) if v > 0 else v for v, step in zip(a, steps, strict=True)]
            rows.append(self.with_target(a, y))
        return rows

    @staticmethod
    def with_target(a, y):
        a = list(a)
        a[y] = mp.mpf(0)
        a[y] = -mp.fsum(a)
        return a

    def dual_value(self, rows):
        """Return the dual at these rows, once they are balanced as ``docs/mathematics.md``, section 11, says."""
        r = [mp.fsum(w * a[c] for w, a in zip(self.weights, rows, strict=True)) for c in range(self.C)]
        rows = self.balanced(rows, r)
        left = [mp.fsum(w * a[c] for w, a in zip(self.weights, rows, strict=True)) for c in range(self.C)]
        assert max(abs(v) for v in left) < mp.mpf(10) ** -40
        conjugate = mp.fsum(w * self.conjugate(a, y) for w, a, y in zip(self.weights, rows, self.y, strict=True))
        square = mp.mpf(0)
        for d in range(len(self.X[0])):
            for c in range(self.C):
                entry = mp.fsum(w * x[d] * a[c] for w, x, a in zip(self.weights, self.X, rows, strict=True))
                square += entry * entry
        return -conjugate - square / (4 * self.reg)

    def conjugate(self, a, y):
        if self.loss.name == "cross_entropy":
            p = [v + (j == y) for j, v in enumerate(a)]
            return mp.fsum(v * mp.log(v) for v in p if v > 0)
        if self.loss.name == "hinge":
            assert all(-(mp.mpf(10) ** -45) <= v <= 1 + mp.mpf(10) ** -45 for j, v in enumerate(a) if j != y)
            return self.delta * a[y]
        return self.delta * a[y] + mp.fsum(v * v for j, v in enumerate(a) if j != y) / 4

    def balanced(self, rows, r):
        if max(abs(v) for v in r) == 0:
            return rows
        if self.loss.name == "cross_entropy":
            mean = [v + share for v, share in zip(r, self.shares, strict=True)]
            theta = max(v / m for v, m in zip(r, mean, strict=True) if v > 0)
            q = [m - v / theta for v, m in zip(r, mean, strict=True)]
            return [
                [(1 - theta) * v + theta * (q[j] - (j == y)) for j, v in enumerate(a)]
                for a, y in zip(rows, self.y, strict=True)
            ]
        total = mp.fsum(max(v, 0) for v in r)
        shift = [
            self.with_target([max(r[c], 0) / self.shares[c] * max(-v, 0) / total for v in r], c)
            for c in range(self.C)
        ]
        shrink = mp.mpf(1)
        if self.loss.name == "hinge":
            shrink /= 1 + max(v for c in range(self.C) for j, v in enumerate(shift[c]) if j != c)
        return [
            [shrink * (v + dv) for v, dv in zip(a, shift[y], strict=True)]
            for a, y in zip(rows, self.y, strict=True)
        ]


def dual_rows(problem, seed):
    """Return dual rows after a few sweeps, in float32 or float64."""
    penalty = 8.0 * problem.loss.balance_stiffness(problem.traits.shape.n_classes)
    dual, order = problem.dual_state(penalty, 0.01), np.random.default_rng(seed)
    if seed % 2 == 0:
        dual.to_double()
    for _ in range(1 + seed % 5):
        dual.sweep(order)
    return dual


def false_certificates(seed, wild=False):
    """Return one sentence per false certificate of a problem, and the number of certificates.

    A wild problem has columns of very different sizes, and a mean and a scale to fold into the weights.
    """
    problem, wrong, count = random_problem(seed), [], 0
    if wild:
        problem = spread(problem, seed)
    samples = Samples.check(problem.X, problem.y, problem.weights, problem.n_classes)
    D = problem.X.shape[1]
    affine = Affine(np.zeros(D), np.ones(D)) if problem.scale is None else Affine(problem.mean, problem.scale)
    for loss in problem.losses():
        exact, objective = Exact(problem, loss), problem.objective(loss, "reference" if seed % 4 == 2 else "cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = sm.minimize(objective, tol=10.0 ** -(2 + seed % 8), max_passes=300)
        engine = make_engine("reference" if seed % 4 == 2 else "cpu", samples)
        seen = PenalizedLoss(loss, problem.reg, Features(engine, affine), True)
        smoothed = PenalizedLoss(SmoothedHinge(problem.delta, 0.3), problem.reg, seen.features, True)
        with_dual = Features(make_engine("cpu", samples), affine)
        dual = dual_rows(PenalizedLoss(loss, problem.reg, with_dual, True), seed)
        W, b = problem.point(seed)
        cases = [(fit.W, fit.b, None), (W, b, None), (dual.P[:-1], dual.P[-1], dual)]
        if loss.name == "hinge":
            cases.append((fit.W, fit.b, smoothed))
        best, bounds, duals = mp.mpf("inf"), [fit.lower_bound], []
        for W, b, source in cases:
            made = seen.prove(np.vstack([W, b]), source).certificate
            if source is None:
                assert made == objective.certificate(W, b)
            if source is dual:
                rows = exact.rows_from(dual.rows.array, dual.balancing_shift())
            else:
                rows = exact.rows_at(W, b, mp.mpf(0.3) if source is smoothed else None)
            bound, value, count = exact.dual_value(rows), exact.value(W, b), count + 1
            best = min(best, value)
            bounds.append(made.lower_bound)
            duals.append(bound)
            if value > 0 and made.gap < 1 - mp.mpf(made.lower_bound) / value:
                wrong.append(f"{seed} {loss}: gap {made.gap!r}, truly {mp.nstr(1 - made.lower_bound / value, 20)}")
        if max(bounds[1:]) > max(0, *duals):
            # Rounded rows are not the exact ones, at a kink not even close, and have a dual value of their own.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                tight = sm.minimize(objective, tol=1e-10, max_passes=5000)
            best = min(best, exact.value(tight.W, tight.b))
        if max(bounds) > best:
            wrong.append(f"{seed} {loss}: a bound of {max(bounds)!r} above a value of {mp.nstr(best, 20)}")
        value = exact.value(fit.W, fit.b)
        if value > 0 and fit.gap < 1 - mp.mpf(fit.lower_bound) / value:
            wrong.append(f"{seed} {loss}: a fit's gap of {fit.gap!r} with a value of {mp.nstr(value, 20)}")
    return wrong, count


def main():
    problems = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    found, total = [], 0
    for seed in range(problems):
        for wild in (False, True):
            wrong, count = false_certificates(seed, wild)
            found += wrong
            total += count
            for sentence in wrong:
                print("wild" if wild else "plain", sentence, flush=True)
    print(f"2 x {problems} problems x 3 losses, {total} certificates: {len(found)} false.")


if __name__ == "__main__":
    main()
