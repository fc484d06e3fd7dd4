"""Cost of a path of λ, and of a cross-validation, against scikit-learn's.

    python benchmarks/path.py FOLDER [path|folds|choice]

FOLDER holds ``banking77-minilm.npz``. First, for each loss: 25 certified fits, from a λ at which W is nearly
zero to one at which the training loss is, against one fit at the smallest of these λ. Then the same path on five
folds for all three losses, every fit proved to 1e-4, against `LogisticRegressionCV` (lbfgs, its own tolerance and
budget) with 25 λ on the same folds for its one loss; how far its fits are from the optimum is computed from our
lower bounds. ``choice``: `LinearClassifierCV` selects among three losses and 12 λ on three folds, with its stop
rules (``fit_all=False``) and without, against `LogisticRegressionCV` with the same λ and folds and its default
tolerance, also on made-up embeddings. X is not scaled, as both would then fit other problems.
Ratios are of one run; every number is made in it.
"""

import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

import softmargin as sm

N_POINTS = 25
LOSSES = (sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge())


def clocked(work):
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def paths(X, y):
    print(f"\nA path of {N_POINTS} fits against one fit at its smallest λ to a gap of 1e-4:")
    print("{:14} {:>8} {:>8} {:>7}  {:>7} {:>8}  {:>7} {:>8}".format(
        "loss", "smallest", "gap", "passes", "seconds", "ratio", "one fit", "ratio"))  # fmt: skip
    for loss in LOSSES:
        objective = sm.Objective(loss, X, y, 0.0)
        sm.minimize(objective.replace(reg=1.0), tol=0.5)  # compile before the clock starts
        grid = [reg for reg, _ in sm.path(objective, N_POINTS, tol=0.5)]
        before = objective.n_passes
        _, one_seconds = clocked(lambda o=objective, g=grid: sm.minimize(o.replace(reg=g[-1])))
        one_passes = objective.n_passes - before
        for tol in (1e-2, 1e-3, 1e-4):
            before = objective.n_passes
            fits, seconds = clocked(lambda o=objective, g=grid, t=tol: sm.path(o, g, t))
            passes, worst = objective.n_passes - before, max(fit.gap for _, fit in fits)
            print(
                f"{loss.name:14} {grid[-1]:8.1e} {worst:8.0e} {passes:7.0f}  {seconds:7.1f} "
                f"{passes / one_passes:5.1f} x p  {one_passes:7.0f} {seconds / one_seconds:5.1f} x s",
                flush=True,
            )


def folds(X, y):
    pairs = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    print(f"\n{N_POINTS} λ on 5 folds, every fit of ours proved to 1e-4:")
    # Compile before the clock starts.
    sm.compare(X[::20], y[::20], LOSSES, [1e-2], cv=2, scaling="none", calibrate=False)
    ours = 0.0
    for loss in LOSSES:
        found, seconds = clocked(
            lambda loss=loss: sm.compare(
                X, y, [loss], N_POINTS, cv=pairs, scaling="none", path_tol=1e-4, calibrate=False, fit_all=True
            )
        )
        ours += seconds
        points = found.paths[0].points
        worst, best = max(point.gap for point in points), found.paths[0].chosen
        print(
            f"softmargin {loss.name:14} {seconds:7.1f} s, {len(points) * 5} fits, worst gap {worst:.1e}, "
            f"{sum(point.n_passes for point in points):,} passes; best reg {best.reg:.2e}, "
            f"accuracy {best.score:.4f}",
            flush=True,
        )
        if loss == sm.CrossEntropy():
            reference = points
    regs = [point.reg for point in reference][:N_POINTS]
    n_training = np.mean([len(training) for training, _ in pairs])
    peer = LogisticRegressionCV(
        Cs=[1.0 / (2.0 * n_training * reg) for reg in regs], cv=pairs, use_legacy_attributes=False
    ) if "use_legacy_attributes" in LogisticRegressionCV().get_params() else LogisticRegressionCV(
        Cs=[1.0 / (2.0 * n_training * reg) for reg in regs], cv=pairs)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, theirs = clocked(lambda: peer.fit(X, y))
    print(
        f"scikit-learn LogisticRegressionCV, {len(regs) * 5} fits of one loss: {theirs:.1f} s, last refit included"
    )
    print(f"its one loss took {theirs / ours:.2f} times as long as our three ({ours:.1f} s)")
    far = suboptimality(X, y, pairs, regs, reference, peer)
    if far is not None:
        print(
            "its fits are above the optimum by at least (share of F): "
            f"median {np.median(far):.1e}, largest {far.max():.1e}; "
            f"more than 1e-4 in {np.count_nonzero(far > 1e-4)} of {far.size}"
        )


def embeddings(n=8000, n_features=512, n_classes=120, noise=2.0):
    """Return rows of unit length around the centres of classes, which lie around 16 topics."""
    rng = np.random.default_rng(0)
    centres = (
        rng.normal(size=(n_classes, n_features)) + rng.normal(size=(16, n_features))[np.arange(n_classes) % 16]
    )
    y = rng.integers(0, n_classes, n)
    X = centres[y] / np.sqrt(n_features) + noise * rng.normal(size=(n, n_features)) / np.sqrt(n_features)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def searched(X, y, regs, pairs, fit_all):
    """Select among the losses and λ as users do, print each path, and return the seconds, wall and CPU."""
    search = sm.LinearClassifierCV(LOSSES, regs=regs, cv=pairs, scaling="none", fit_all=fit_all)
    cpu = time.process_time()
    _, seconds = clocked(lambda: search.fit(X, y))
    cpu = time.process_time() - cpu
    for path in search.path_.paths:
        points = path.points
        print(
            f"softmargin {path.loss.name:14} {len(points):3} λ, {sum(p.n_passes for p in points):6,.0f} passes, "
            f"{sum(p.seconds for p in points):6.1f} s, worst gap {max(p.gap for p in points):.1e}; best "
            f"{path.chosen.reg:.1e}, accuracy {path.chosen.score:.4f}"
        )
    print(
        f"{seconds:.1f} s, {cpu:.1f} s of CPU, {search.best_loss_.name} {search.best_reg_:.1e}, gap "
        f"{search.gap_:.1e}",
        flush=True,
    )
    return seconds, cpu


def choice(name, X, y):
    pairs = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    regs = np.logspace(-2, -6, 12)
    print(f"\n12 λ from 1e-2 to 1e-6 on 3 folds of {name}, {X.shape[0]:,} × {X.shape[1]}, {y.max() + 1} classes:")
    sm.compare(X[::20], y[::20], LOSSES, [1e-2], cv=2, scaling="none")  # compile before the clock starts
    ours = {fit_all: searched(X, y, regs, pairs, fit_all) for fit_all in (False, True)}
    n_training = np.mean([len(training) for training, _ in pairs])
    options = {"Cs": [1.0 / (2.0 * n_training * reg) for reg in regs], "cv": pairs}
    if "use_legacy_attributes" in LogisticRegressionCV().get_params():
        options["use_legacy_attributes"] = False
    peer, cpu = LogisticRegressionCV(**options), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, seconds = clocked(lambda: peer.fit(X, y))
    cpu = time.process_time() - cpu
    print(f"scikit-learn LogisticRegressionCV {seconds:.1f} s, {cpu:.1f} s of CPU, for its one loss")
    for fit_all, (our_seconds, our_cpu) in ours.items():
        print(
            f"our three losses, {'every λ' if fit_all else 'with stop rules'}: {our_seconds / seconds:.2f} of its "
            f"time, {our_cpu / cpu:.2f} of its CPU time",
            flush=True,
        )
    options = {"cv": pairs, "scaling": "none", "calibrate": False, "fit_all": True}
    reference = sm.compare(X, y, LOSSES[:1], regs, **options).paths[0].points
    far = suboptimality(X, y, pairs, regs, reference, peer)
    print(f"its fits are above the optimum by at least: median {np.median(far):.1e}, largest {far.max():.1e}")


def suboptimality(X, y, pairs, regs, reference, peer):
    """Return by how much each of scikit-learn's fits is above our lower bound, as a share of its F."""
    coefs = peer.coefs_paths_
    if isinstance(coefs, dict):  # by class: (folds, Cs, D + 1)
        stacked = np.stack([coefs[label] for label in sorted(coefs)], axis=2)
    else:
        stacked = np.asarray(coefs)  # (folds, l1_ratios, Cs, classes, D + 1)
        stacked = stacked.reshape(stacked.shape[0], -1, *stacked.shape[-2:])
    far = []
    for k, (training, _) in enumerate(pairs):
        weights = np.zeros(len(y))
        weights[training] = 1.0
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.0, weights)
        for j, reg in enumerate(regs):
            point = stacked[k, j]
            n_mean = np.mean([len(t) for t, _ in pairs])
            actual = reg * n_mean / len(training)  # its C counts samples, of which folds hold not quite as many
            value = objective.replace(reg=actual).value(point[:, :-1].T, point[:, -1])
            fold = reference[j].folds[k]
            # The minimum at another λ is bounded by that at ours: F*(λ') ≥ F*(λ) min(1, λ'/λ).
            lower = fold.value * (1.0 - fold.gap) * min(1.0, actual / reg)
            far.append(max(0.0, value - lower) / value)
    return np.array(far)


def main():
    folder = Path(sys.argv[1])
    which = sys.argv[2] if len(sys.argv) > 2 else ""
    data = sm.load_dataset(folder / "banking77-minilm.npz")
    X, y = np.asarray(data.X), np.unique(data.y, return_inverse=True)[1]
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}")
    print(f"banking77: {len(y):,} samples, {X.shape[1]} features, {y.max() + 1} classes")
    if which in ("", "path"):
        paths(X, y)
    if which in ("", "folds"):
        folds(X, y)
    if which in ("", "choice"):
        choice("banking77", X, y)
        choice("made-up embeddings", *embeddings())


if __name__ == "__main__":
    main()
