"""The solvers that `solvers.py` compares with, none of them changed: all we add is time stamps and copies.

Every peer is a function of a `Case` and a `Watch`. It calls ``watch.see`` with each iterate it knows of and
adds to ``watch.passes`` what it reads of X: 1 for a value, a gradient or a Hessian product, 1 for an epoch.
"""

import functools
import multiprocessing
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from liblinear import liblinearutil
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss
from sklearn.svm import LinearSVC
from threadpoolctl import ThreadpoolController, threadpool_info

import softmargin as sm

SPACING = 1.03  # iterates are kept at times that lie at least 3 % apart: stamps are late by no more than that
ADAM_STEPS, ADAM_EPOCHS, ADAM_BATCH, ADAM_RATE = 1000, 100, 512, 0.05


class Stop(Exception):
    """Ends a peer at its limit, or where it has reached the last target."""


@dataclass(frozen=True)
class Case:
    """A problem to solve.

    Attributes
    ----------
    X : ndarray
        What the peers get: float32 or float64, of the same features that the objective sees.
    y : ndarray
        0 … C-1.
    loss : Loss
    reg : float
    objective : Objective
        F in float64, evaluated when the clock stands still.
    """

    X: np.ndarray
    y: np.ndarray
    loss: Any
    reg: float
    objective: sm.Objective

    @property
    def C(self):
        """The C of scikit-learn and liblinear that stands for λ."""
        return 1.0 / (2.0 * len(self.X) * self.reg)


class Watch:
    """A clock that can be paused, a count of passes and copies of iterates."""

    def __init__(self, case, limit, goal):
        self.case, self.limit, self.goal = case, limit, goal
        self.passes, self.kept, self.last, self.due = 0, [], None, 0.0
        self.own_end = None  # for peers with another objective: when they were done with it
        self.paused, self.started = 0.0, time.perf_counter()

    @property
    def seconds(self):
        return time.perf_counter() - self.started - self.paused

    def see(self, W, b, value=None, seconds=None):
        """Take note of an iterate; ``value`` is the peer's own F there, if it knows it."""
        now = self.seconds if seconds is None else seconds
        self.last = now, self.passes, np.array(W), np.array(b)
        if now >= self.due:
            self.kept.append(self.last)
            self.due = SPACING * now
            if value is None or value <= self.goal * (1.0 + 3e-6):  # it may be there: ask in float64
                stopped = time.perf_counter()
                if self.case.objective.value(W, b) <= self.goal:
                    raise Stop
                self.paused += time.perf_counter() - stopped
        self.check()

    def check(self):
        if self.seconds > self.limit:
            raise Stop

    def events(self):
        """Return (seconds, passes, F) of the kept iterates, F evaluated now."""
        if self.last is not None and self.kept[-1] is not self.last:
            self.kept.append(self.last)
        return [(s, p, self.case.objective.value(W, b)) for s, p, W, b in self.kept]


# -- scikit-learn ----------------------------------------------------------------------------------------


@contextmanager
def watched(watch):
    """Stamp every call of the functions that scikit-learn's solvers minimise with."""

    def stamped(name, original):
        def method(self, coef, *args, **kwargs):
            result = original(self, coef, *args, **kwargs)
            watch.passes += 1
            if name in ("loss", "loss_gradient"):
                weights, intercept = self.weight_intercept(coef)
                watch.see(weights.T, intercept, result if name == "loss" else result[0])
            elif name == "gradient_hessian_product":
                return result[0], counted(result[1])
            watch.check()
            return result

        return method

    def counted(product):
        def method(*args):
            watch.passes += 1
            watch.check()
            return product(*args)

        return method

    names = ("loss", "gradient", "loss_gradient", "gradient_hessian", "gradient_hessian_product")
    originals = {name: getattr(LinearModelLoss, name) for name in names}
    for name, original in originals.items():
        setattr(LinearModelLoss, name, stamped(name, original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(LinearModelLoss, name, original)


def logistic(case, watch, solver, dtype=None):
    X = case.X if dtype is None else case.X.astype(dtype)
    model = LogisticRegression(C=case.C, solver=solver, tol=1e-12, max_iter=10**6)
    # SciPy brings a BLAS of its own, which L-BFGS needs for short vectors only; its threads and NumPy's would
    # wait for each other's core.
    scipys = [info["filepath"] for info in threadpool_info() if "scipy.libs" in info["filepath"]]
    limited = ThreadpoolController().select(filepath=scipys if solver == "lbfgs" else []).limit(limits=1)
    watch.started = time.perf_counter()
    with limited, watched(watch):
        model.fit(X, case.y)
        watch.see(model.coef_.T, model.intercept_)


def saga(case, watch):
    """Give 1, 2, 4, … epochs from scratch, each run with a clock of its own: saga cannot be watched or stopped."""
    epochs, seconds = 1, 0.0
    while 2.0 * seconds < watch.limit:
        started = time.perf_counter()
        model = LogisticRegression(C=case.C, solver="saga", tol=1e-12, max_iter=epochs, random_state=0)
        model.fit(case.X, case.y)
        seconds = time.perf_counter() - started
        watch.passes, watch.due = epochs, 0.0
        watch.started, watch.paused = time.perf_counter(), 0.0  # only this run counts
        watch.see(model.coef_.T, model.intercept_, seconds=seconds)
        epochs *= 2


# -- solvers of another objective: timed to their own tolerance --------------------------------------------


def in_child(watch, fit):
    """Time ``fit`` in a forked process, which can be ended at the limit though its loop is compiled."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe(duplex=False)

    def work():
        started = time.perf_counter()
        fit()
        its.send(time.perf_counter() - started)

    child = context.Process(target=work)
    child.start()
    if mine.poll(watch.limit):
        watch.own_end = mine.recv()
    else:
        child.kill()
    child.join()


def linear_svc(case, watch):
    name = "hinge" if isinstance(case.loss, sm.Hinge) else "squared_hinge"
    model = LinearSVC(C=case.C, loss=name, max_iter=10**6)
    in_child(watch, functools.partial(model.fit, case.X, case.y))


def crammer_singer(case, watch):
    problem = liblinearutil.problem(case.y.astype(np.float64), csr_matrix(case.X.astype(np.float64)))
    in_child(watch, functools.partial(liblinearutil.train, problem, f"-s 4 -c {case.C:.17g} -q"))


# -- PyTorch ---------------------------------------------------------------------------------------------


class TorchObjective:
    """The same F in PyTorch, on all rows or some."""

    def __init__(self, case):
        self.case = case
        self.X, self.y = torch.from_numpy(case.X), torch.from_numpy(case.y)
        shape = case.objective.n_features, case.objective.n_classes
        self.W = torch.zeros(shape, dtype=self.X.dtype, requires_grad=True)
        self.b = torch.zeros(shape[1], dtype=self.X.dtype, requires_grad=True)

    def __call__(self, rows=slice(None)):
        X, y = self.X[rows], self.y[rows]
        S = torch.addmm(self.b, X, self.W)
        if isinstance(self.case.loss, sm.CrossEntropy):
            mean = torch.nn.functional.cross_entropy(S, y)
        else:
            violation = torch.relu(S - S.gather(1, y[:, None]) + self.case.loss.delta)
            violation = violation.scatter(1, y[:, None], 0.0)
            mean = (violation if isinstance(self.case.loss, sm.Hinge) else violation**2).sum() / len(y)
        return mean + self.case.reg * (self.W**2).sum()

    def step(self, optimiser, watch, rows=slice(None)):
        """Return the closure of an optimiser; on all rows it also tells the watch."""

        def closure():
            optimiser.zero_grad(set_to_none=True)
            value = self(rows)
            value.backward()
            if isinstance(rows, slice):
                watch.passes += 1
                self.show(watch, value.item())
            return value

        return closure

    def show(self, watch, value=None):
        watch.see(self.W.detach().numpy(), self.b.detach().numpy(), value)


def torch_lbfgs(case, watch):
    F = TorchObjective(case)
    settings = {"max_iter": 10**9, "max_eval": 10**9, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    optimiser = torch.optim.LBFGS([F.W, F.b], history_size=20, line_search_fn="strong_wolfe", **settings)
    before = -1
    while before < watch.passes:
        before = watch.passes
        optimiser.step(F.step(optimiser, watch))
        if not torch.isfinite(F.W).all():
            return


def torch_adam(case, watch):
    F = TorchObjective(case)
    optimiser = torch.optim.Adam([F.W, F.b], lr=ADAM_RATE)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, ADAM_STEPS)
    for _ in range(ADAM_STEPS):
        optimiser.step(F.step(optimiser, watch))
        decay.step()


def torch_adam_batches(case, watch):
    F = TorchObjective(case)
    n = len(case.y)
    optimiser = torch.optim.Adam([F.W, F.b], lr=ADAM_RATE)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, ADAM_EPOCHS * -(-n // ADAM_BATCH))
    generator = torch.Generator().manual_seed(0)
    for _ in range(ADAM_EPOCHS):
        for rows in torch.randperm(n, generator=generator).split(ADAM_BATCH):
            optimiser.step(F.step(optimiser, watch, rows))
            decay.step()
            watch.check()
        watch.passes += 1
        F.show(watch)


# -- dual coordinate ascent for the hinge of Weston and Watkins ------------------------------------------


@numba.njit(fastmath=True)
def _epoch(X, y, order, squares, Wt, T, delta, step):
    """Visit every sample once; W = -step · XᵀA, where A is T with minus the sum of each row for its target."""
    C, D = Wt.shape
    s, change, x = np.empty(C), np.empty(C), np.empty(D)
    for i in order:
        for d in range(D):
            x[d] = X[i, d]
        for c in range(C):
            total = 0.0
            for d in range(D):
                total += x[d] * Wt[c, d]
            s[c] = total
        q = squares[i] * step
        if q <= 0.0:
            continue
        target, moved = y[i], 0.0
        for c in range(C):
            change[c] = 0
            if c != target:
                old = T[i, c]
                new = min(max(old + (delta + s[c] - s[target]) / (2.0 * q), 0.0), 1.0)
                if new != old:
                    T[i, c], change[c] = new, new - old
                    s[c] -= q * change[c]
                    s[target] += q * change[c]
                    moved += change[c]
        change[target] = -moved
        for c in range(C):
            if change[c] != 0.0:
                factor = step * change[c]
                for d in range(D):
                    Wt[c, d] -= factor * x[d]


def dual_ascent(X, y, n_classes, delta, reg, limit, gap):
    """Minimise the hinge without a bias, one sample at a time; return (seconds, epochs, F, bound) as it went on.

    One thread. X is read in its type, all else is float64: in float32 it comes to rest at a gap of 1e-6 or so.
    For each sample in random order its scores, then one sweep over its C - 1 multipliers, each set to the best
    it can be in [0, 1], then W. F and the bound belong to the W of the multipliers, computed anew while the
    clock stands still.
    """
    n, step = len(X), 1.0 / (2.0 * reg * len(X))
    objective = sm.Objective(sm.Hinge(delta), X, y, reg, n_classes=n_classes, fit_intercept=False)
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    Wt, T = np.zeros((n_classes, X.shape[1])), np.zeros((n, n_classes))
    rng, history = np.random.default_rng(0), []
    seconds, epochs, due = 0.0, 0, 0.0
    while seconds < limit:
        started = time.perf_counter()
        _epoch(X, y, rng.permutation(n), squares, Wt, T, delta, step)
        seconds, epochs = seconds + time.perf_counter() - started, epochs + 1
        if seconds >= due:
            due = SPACING * seconds
            W, total = np.zeros((X.shape[1], n_classes)), 0.0
            for rows in (slice(k, k + 1024) for k in range(0, n, 1024)):
                A = T[rows].copy()
                total += A.sum()
                A[np.arange(len(A)), y[rows]] = -A.sum(axis=1)
                W -= step * (X[rows].T.astype(np.float64) @ A)
            Wt[:] = W.T
            value = objective.value(W, np.zeros(n_classes))
            history.append((seconds, epochs, value, delta * total / n - reg * (W**2).sum()))
            if value - history[-1][3] <= gap * value:
                break
    return history


SMOOTH = {
    "torch-lbfgs": torch_lbfgs,
    "torch-adam": torch_adam,
    "torch-adam512": torch_adam_batches,
}
LOGISTIC = {
    "sklearn-lbfgs": functools.partial(logistic, solver="lbfgs"),
    "sklearn-lbfgs64": functools.partial(logistic, solver="lbfgs", dtype=np.float64),
    "sklearn-newton-cg": functools.partial(logistic, solver="newton-cg"),
    "sklearn-newton-cholesky": functools.partial(logistic, solver="newton-cholesky"),
    "sklearn-saga": saga,
}
OTHER = {"sklearn-LinearSVC": linear_svc, "liblinear-4": crammer_singer}
DUAL = "dual-ascent"
NAMES = (*LOGISTIC, *SMOOTH, *OTHER, DUAL)


def peers_for(case, names):
    """Return the peers of these names that take the case."""
    able = dict(SMOOTH)
    able |= LOGISTIC if isinstance(case.loss, sm.CrossEntropy) else OTHER
    if case.objective.n_features * case.objective.n_classes > 5000:
        able.pop("sklearn-newton-cholesky", None)  # its Hessian alone would take gigabytes
    if case.X.dtype == np.float64:
        able.pop("sklearn-lbfgs64", None)
    return {name: able[name] for name in names if name in able}


def run_peer(peer, case, limit, goal):
    """Run one peer and return its watch."""
    watch = Watch(case, limit, goal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Stop):
            peer(case, watch)
    return watch
