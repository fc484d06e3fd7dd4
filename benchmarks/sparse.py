"""Fits of sparse text: seconds, passes, peak memory and excess, beside scikit-learn, LIBLINEAR and cyanure.

    python benchmarks/sparse.py [--data news small] [--loss NAME ...] [--reg λ ...] [--method NAME ...] [--tol GAP]
                                [--threads N] [--cyanure PYTHON]

The text is made up: N documents of 20 classes, words drawn from a Zipf distribution in which each class prefers
2 % of the words, hashed to 2^20 columns, tf-idf weights, rows of length 1, and 5 % of the labels are random.
``news`` has 20,000 documents, ``small`` 6,000. Each fit runs in a process of its own that first loads X and
compiles. Peak memory is the VmHWM of that process after the fit; the figure in brackets is that before the fit.

The excess is (F - F*) / F*, with the largest certified lower bound of the runs in place of F*. Methods with a
``*`` minimise another objective (one-vs-rest, or Crammer and Singer's hinge) and have no excess. ``lbfgs`` and
``saga`` are those of LogisticRegression. cyanure may be installed for another interpreter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import scipy.sparse as sp

N_CLASSES, N_COLUMNS, N_WORDS, LENGTH = 20, 1 << 20, 400_000, 150
SIZES = {"news": 20_000, "small": 6_000}
LOSSES = ("cross_entropy", "squared_hinge", "hinge")
PEERS = {
    "cross_entropy": ("lbfgs", "lbfgs-1e-6", "saga", "cyanure"),
    "squared_hinge": ("liblinear*",),
    "hinge": ("liblinear-cs*",),
}


def make(folder, n):
    """Write X.npz (n, 2^20) and y.npy."""
    rng = np.random.default_rng(0)
    zipf = 1.0 / (np.arange(N_WORDS) + 10.0)
    columns = rng.integers(N_COLUMNS, size=N_WORDS)
    labels = rng.integers(N_CLASSES, size=n)
    rows, words = [], []
    for k in range(N_CLASSES):
        share = zipf * np.where(rng.random(N_WORDS) < 0.02, 8.0, 1.0)
        members = np.flatnonzero(labels == k)
        lengths = rng.poisson(LENGTH, len(members)) + 1
        rows.append(np.repeat(members, lengths))
        words.append(rng.choice(N_WORDS, lengths.sum(), p=share / share.sum()))
    rows, cols = np.concatenate(rows), columns[np.concatenate(words)]
    X = sp.csr_array((np.ones(len(rows)), (rows, cols.astype(np.int32))), shape=(n, N_COLUMNS))
    X.sum_duplicates()
    found = np.bincount(X.indices, minlength=N_COLUMNS)
    X.data = (1.0 + np.log(X.data)) * np.log((1.0 + n) / (1.0 + found))[X.indices]
    X.data /= np.repeat(np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel()), np.diff(X.indptr))
    noisy = rng.random(n) < 0.05
    labels[noisy] = rng.integers(N_CLASSES, size=noisy.sum())
    sp.save_npz(folder / "X.npz", sp.csr_matrix(X), compressed=False)
    np.save(folder / "y.npy", labels)


def peak():
    """Return the largest memory of this process so far, in GB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def fit(X, y, loss, reg, method, tol, threads):
    """Return W (C, D), b, and what is known of the fit."""
    if method.startswith("softmargin"):
        import softmargin as sm
        from softmargin import solvers

        name = method.partition(":")[2]
        primal = solvers.LBFGS()
        known = {
            "": None, "lbfgs": primal, "newton": solvers.TruncatedNewton(fallback=primal),
            "alm": solvers.AugmentedLagrangian(primal), "dual": solvers.DualAscent(),
            "alm-newton": solvers.AugmentedLagrangian(solvers.TruncatedNewton(fallback=primal)),
        }  # fmt: skip
        made = {"cross_entropy": sm.CrossEntropy, "squared_hinge": sm.SquaredHinge, "hinge": sm.Hinge}[loss]()
        found = sm.minimize(
            sm.Objective(made, X, y, reg, n_threads=threads), tol=tol, solver=known[name], max_passes=3000
        )  # fmt: skip
        return found.W.T, found.b, {"gap": found.gap, "passes": found.n_passes, "bound": found.lower_bound}
    C = 1.0 / (2.0 * len(y) * reg)
    if method.startswith("liblinear"):
        from sklearn.svm import LinearSVC

        model = LinearSVC(C=C, max_iter=10000, multi_class="crammer_singer" if "cs" in method else "ovr").fit(X, y)
    elif method == "cyanure":
        from cyanure.estimators import Classifier

        settings = {"lambda_1": 2.0 * reg, "tol": tol, "max_iter": 1000, "n_threads": threads}
        model = Classifier(loss="multiclass-logistic", verbose=False, **settings).fit(X, y)
        W = np.asarray(model.coef_)
        return W if len(W) == N_CLASSES else W.T, np.ravel(model.intercept_), {}
    else:
        from sklearn.linear_model import LogisticRegression

        solver, _, wanted = method.partition("-")
        settings = {"tol": float(wanted)} if wanted else {}
        model = LogisticRegression(C=C, solver=solver, max_iter=5000, **settings).fit(X, y)
        return model.coef_, model.intercept_, {"passes": int(np.max(model.n_iter_))}
    return model.coef_, model.intercept_, {"passes": int(np.max(model.n_iter_))}


def run(folder, loss, reg, method, tol, threads, compile_first):
    """Print the results of one fit as JSON; write its W and b."""
    warnings.simplefilter("ignore")
    X, y = sp.load_npz(folder / "X.npz"), np.load(folder / "y.npy")
    if compile_first:
        fit(X[:300], y[:300], loss, 1e-3, method, 1e-2, threads)
    before, started, cpu = peak(), time.perf_counter(), time.process_time()
    W, b, facts = fit(X, y, loss, reg, method, tol, threads)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    highest, found, used = peak(), folder / f"found-{os.getpid()}.npz", np.unique(X.indices)
    np.savez(found, W=W[:, used], b=b)
    facts |= {"before": before, "peak": highest, "seconds": seconds, "cpu": cpu, "at": str(found)}
    print(json.dumps(facts))


def value(found, X, y, loss, reg):
    """Return F at the point that `run` wrote, in plain NumPy; the file is removed."""
    with np.load(found) as file:
        point = dict(file)
    found.unlink()
    S = X[:, np.unique(X.indices)] @ point["W"].T + point["b"]
    rows = np.arange(len(y))
    if loss == "cross_entropy":
        largest = S.max(axis=1)
        data = (np.log(np.exp(S - largest[:, None]).sum(axis=1)) + largest - S[rows, y]).mean()
    else:
        losses = np.maximum(0.0, S - S[rows, y][:, None] + 1.0)
        losses[rows, y] = 0.0
        data = (losses ** (2 if loss == "squared_hinge" else 1)).sum(axis=1).mean()
    return data + reg * np.square(point["W"]).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--reg", type=float, nargs="+", default=[1e-4, 1e-5, 1e-6])
    parser.add_argument("--method", nargs="+", help="softmargin, softmargin:SOLVER, or a peer; by default all")
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per fit")
    parser.add_argument("--cyanure", default=sys.executable, help="an interpreter that has cyanure")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)  # FOLDER LOSS λ METHOD, in a process
    options = parser.parse_args()
    if options.run:
        folder, loss, reg, method = options.run
        return run(Path(folder), loss, float(reg), method, options.tol, options.threads, "softmargin" in method)
    print(f"{time.strftime('%Y-%m-%d')}, NumPy {np.__version__}, tol {options.tol:g}, {options.threads} threads")
    for name in options.data:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), SIZES[name])
            compare(name, Path(folder), options)


def compare(name, folder, options):
    """Print one table."""
    X, y = sp.load_npz(folder / "X.npz"), np.load(folder / "y.npy")
    n_used, n_classes = len(np.unique(X.indices)), len(np.unique(y))
    print(
        f"\n{name}: {X.shape[0]:,} × {X.shape[1]:,}, {X.nnz:,} entries in {n_used:,} columns, {n_classes} classes"
    )
    print(
        "loss           reg    method              seconds    CPU  passes      gap   excess  peak GB (before)  F"
    )
    for loss, reg in product(options.loss, options.reg):
        found, best = [], 0.0
        for method in options.method or ("softmargin", *PEERS[loss]):
            python = options.cyanure if method == "cyanure" else sys.executable
            given = ["--tol", str(options.tol), "--threads", str(options.threads)]
            command = [python, __file__, *given, "--run", str(folder), loss, str(reg), method]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=options.limit)
                facts = json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                found.append((method, None, None))
                continue
            except IndexError:
                print(done.stderr.splitlines()[-1:])
                continue
            best = max(best, facts.get("bound", 0.0))
            F = value(Path(facts["at"]), X, y, loss, reg)
            found.append((method, facts, None if "*" in method else F))
        for method, facts, F in found:
            start = f"{loss:14} {reg:6.0e} {method:19}"
            if facts is None:
                print(f"{start} > {options.limit:.0f}", flush=True)
                continue
            gap = f"{facts['gap']:8.1e}" if "gap" in facts else " " * 8
            excess = f"{(F - best) / best:8.1e} " if F is not None and best else " " * 9
            print(
                f"{start} {facts['seconds']:7.2f} {facts['cpu']:6.2f} {facts.get('passes', 0):7.0f} {gap} {excess}"
                f"{facts['peak']:8.2f} ({facts['before']:.2f})  {'' if F is None else f'{F:.6f}'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
