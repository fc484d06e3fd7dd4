"""A record of fits, to detect every change of results between two versions of the code.

    python -m tests.record OUT.json [--threads N] [--only TEXT]
    python -m tests.record --compare BEFORE.json AFTER.json

The first form runs all cases on data generated from seeds. For each case it writes a hash of W and b, the value,
the lower bound, the gap, the number of passes and the status to OUT.json, and W and b to ``OUT.npz``. The second
form compares two such records. A case passes if its hash is the same, or else if

- the status is the same and a fit that converged before still does (gap ≤ tol),
- the number of passes is within 10 % (and one pass),
- W is equal within what both certificates allow. F is strongly convex in W, ``F(W, b) ≥ F* + λ‖W - W*‖²``, so that
  ``λ‖W₁ - W₂‖² ≤ (√(F₁ - L) + √(F₂ - L))²`` for every lower bound L.

Cross-validations pass if the choice and the grid of λ are the same, the values of F agree within the gaps, and the
scores within one standard error. The exit status is 1 if a case fails, raises an error, or was removed.
"""

import argparse
import hashlib
import json
import platform
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse

import softmargin as sm
from softmargin.errors import ConvergenceWarning
from softmargin.losses import SmoothedHinge
from softmargin.solvers import LBFGS, SGD, AugmentedLagrangian, DualAscent, TruncatedNewton

LOSSES = {
    "hinge": sm.Hinge(),
    "squared_hinge": sm.SquaredHinge(),
    "cross_entropy": sm.CrossEntropy(),
    "smoothed_hinge": SmoothedHinge(width=0.5),
    "wide_hinge": sm.Hinge(delta=2.5),
    "wide_squared_hinge": sm.SquaredHinge(delta=2.5),
}
USUAL = ("hinge", "squared_hinge", "cross_entropy")
SMOOTH = ("squared_hinge", "cross_entropy", "smoothed_hinge")
FOLD_NUMBERS = (
    "value",
    "square",
    "training_loss",
    "training_accuracy",
    "validation_loss",
    "validation_accuracy",
    "score",
)
EXACT, SINGLE = 1e-11, 1e-5
"""Relative error up to which numbers that are computed directly, in float64 and in float32, are equal."""

ROUNDING = 1e-9
"""Share of F by which values may differ besides what their gaps allow."""


# -- data --------------------------------------------------------------------------------------------------


def blobs(n, d, c, noise=1.5, seed=0):
    """Return overlapping Gaussian classes."""
    rng = np.random.default_rng([seed, n, d, c])
    y = rng.permutation(np.arange(n) % c)
    return rng.normal(size=(c, d))[y] + noise * np.sqrt(d) / 2.0 * rng.normal(size=(n, d)), y


def sparse_blobs(n, d, c, density):
    """Return rows in CSR format with positive entries, some of which tell the classes apart."""
    rng = np.random.default_rng([n, d, c])
    y = rng.permutation(np.arange(n) % c)
    likely = density * (1.0 + 3.0 * (np.arange(d) % c == y[:, None]))
    return scipy.sparse.csr_array(rng.exponential(size=(n, d)) * (rng.random((n, d)) < likely)), y


def bytes_of(X):
    return np.clip(128.0 + 16.0 * X, 0.0, 255.0).astype(np.uint8)


def random_weights(n, seed=0):
    return np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 2.0], size=n)


def dense(n=600, d=40, c=5, dtype=np.float64, noise=1.5, **options):
    X, y = blobs(n, d, c, noise)
    return X.astype(dtype), y, options


def as_bytes(n, d, c):
    X, y = blobs(n, d, c)
    return bytes_of(X), y, {"scale": np.full(d, 1.0 / 255.0)}


def whole_numbers(n=500, d=30, c=4):
    X, y = blobs(n, d, c)
    return np.round(X).astype(np.int16), y, {}


def in_columns(n=500, d=30, c=4):
    X, y = blobs(n, d, c)
    return np.asfortranarray(X, np.float32), y, {}


def shifted(n=500, d=30, c=4, **options):
    X, y = blobs(n, d, c)
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(size=d) * 3.0, rng.uniform(0.2, 3.0, d)
    return X / scale + mean, y, {"mean": mean + 0.1, "scale": scale} | options


def badly_scaled(n=500, d=30, c=4):
    X, y = blobs(n, d, c)
    return X * 10.0 ** np.linspace(-2.5, 2.5, d) + 10.0, y, {}


def sparse(n, d, c, density, **options):
    return *sparse_blobs(n, d, c, density), options


DATA = {
    # name: (function that returns X, y and options of the objective; λ)
    "float64": (dense, 1e-2),
    "float32": (partial(dense, dtype=np.float32), 3e-2),
    "float32-small-reg": (partial(dense, dtype=np.float32), 1e-4),
    "float16": (partial(dense, 500, 60, 4, np.float16), 1e-1),
    "int16": (whole_numbers, 1e-1),
    "fortran-order": (in_columns, 1e-2),
    "uint8": (partial(as_bytes, 600, 64, 5), 1e-3),
    "uint8-many-columns": (partial(as_bytes, 900, 300, 4), 1e-2),
    "sparse": (partial(sparse, 800, 300, 6, 0.05), 1e-2),
    "sparse-large": (partial(sparse, 4000, 500, 6, 0.02), 1e-3),
    "sparse-few-rows": (partial(sparse, 120, 700, 4, 0.05), 1e-2),
    "sparse-wide": (partial(sparse, 2600, 2200, 3, 0.005), 1e-2),
    "weights": (partial(dense, 500, 30, 4, sample_weight=random_weights(500)), 1e-2),
    "no-intercept": (partial(dense, 500, 30, 4, fit_intercept=False), 1e-2),
    "few-rows": (partial(dense, 120, 600, 4), 1e-1),
    "60-classes": (partial(dense, 1200, 40, 60, np.float32, 0.8), 1e-2),
    "150-classes": (partial(dense, 1500, 30, 150, np.float32, 0.8), 3e-2),
    "140-classes": (partial(dense, 700, 250, 140, np.float32, 0.6), 1.0),
    "two-classes": (partial(dense, 400, 20, 2), 1e-2),
    "tiny": (partial(dense, 90, 4, 3), 1e-2),
    "reference": (partial(dense, 300, 20, 4, engine="reference"), 1e-2),
    "reference-larger": (partial(dense, 300, 60, 20, engine="reference", noise=0.7), 1e-2),
    "cpu": (partial(dense, 300, 20, 4, engine="cpu"), 1e-2),
    "mean-and-scale": (shifted, 1e-2),
    "mean-and-scale-no-intercept": (partial(shifted, fit_intercept=False), 1e-2),
    "badly-scaled": (badly_scaled, 1e-3),
    "large": (partial(dense, 3000, 150, 10, np.float32), 1e-2),
    "large-small-hessian": (partial(dense, 4500, 60, 16, np.float32), 1e-2),
}


# -- records -----------------------------------------------------------------------------------------------


def hash_of(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()[:16]


def of_fit(fit, reg, shown=(), **more):
    """Return the record of a fit; ``shown`` arrays take the place of W and b in the hash."""
    W, b = np.asarray(fit.W), np.asarray(fit.b)
    record = {
        "kind": "fit",
        "hash": hash_of(*(shown or (W, b))),
        "reg": reg,
        "value": fit.value,
        "lower_bound": fit.lower_bound,
        "gap": fit.gap,
        "tol": fit.tol,
        "n_passes": fit.n_passes,
        "status": fit.status,
        "converged": bool(fit.converged),
    }
    return record | more, {"W": W, "b": b}


def of_numbers(arrays, rtol):
    arrays = [np.asarray(array) for array in arrays]
    record = {"kind": "numbers", "hash": hash_of(*arrays), "rtol": rtol}
    return record, {str(k): array for k, array in enumerate(arrays)}


def of_comparison(found):
    """Return the record of a cross-validation: the choice, and the results of every fit except its seconds."""
    paths, arrays = {}, {}
    for path in found.paths:
        name, points = path.loss.name, path.points
        arrays[name] = np.array([[[getattr(f, n) for n in FOLD_NUMBERS] for f in p.folds] for p in points])
        kept = path.calibration
        paths[name] = {
            "regs": [point.reg for point in points],
            "scores": [point.score for point in points],
            "standard_errors": [point.standard_error for point in points],
            "gaps": [[fold.gap for fold in point.folds] for point in points],
            "n_passes": [[fold.n_passes for fold in point.folds] for point in points],
            "best": path.best,
            "one_se": path.one_se,
            "calibration": None if kept is None else [kept.temperature, kept.error, kept.log_loss],
        }
    record = {
        "kind": "comparison",
        "hash": hash_of(*arrays.values()),
        "loss": found.loss.name,
        "chosen": found.reg,
        "tol": found.path_tol,
        "paths": paths,
    }
    return record, arrays


# -- cases -------------------------------------------------------------------------------------------------


def newton():
    return TruncatedNewton(fallback=LBFGS())


def objective(data, loss, threads, reg=None):
    make, usual = DATA[data]
    X, y, options = make()
    return sm.Objective(LOSSES[loss], X, y, usual if reg is None else reg, n_threads=threads, **options)


def fit(data, loss, *, threads, reg=None, make_solver=None, tol=1e-4, max_passes=2000, **more):
    problem = objective(data, loss, threads, reg)
    more |= {} if make_solver is None else {"solver": make_solver()}
    if not isinstance(more.get("solver"), SGD):
        more["max_passes"] = max_passes
    return {"": of_fit(sm.minimize(problem, tol=tol, **more), problem.reg)}


def warm_started(loss, *, threads):
    problem = objective("float32", loss, threads)
    other = sm.minimize(problem.replace(reg=10.0 * problem.reg), tol=1e-3)
    rng = np.random.default_rng(3)
    starts = {
        "other-reg": (other.W, other.b),
        "random": (rng.normal(size=other.W.shape), rng.normal(size=other.b.shape)),
    }
    return {
        name: of_fit(sm.minimize(problem, *start, tol=1e-5, max_passes=2000), problem.reg)
        for name, start in starts.items()
    }


def refitted(loss, *, threads):
    """Fit again after fits at other λ on the same objective, which share what was computed from the features."""
    problem = objective("float32", loss, threads)
    first = sm.minimize(problem, tol=1e-4)
    for reg in (1.0, 1e-3):
        sm.minimize(problem.replace(reg=reg), tol=1e-2)
    again = sm.minimize(problem, tol=1e-4)
    return {"": of_fit(again, problem.reg, equal=hash_of(first.W, first.b) == hash_of(again.W, again.b))}


def resumed(data, loss, n_steps, make_solver=None, tol=1e-6, *, threads):
    """Stop after some steps by a callback and go on from the checkpoint: it must equal a fit without a stop."""
    problem = objective(data, loss, threads)
    options = {} if make_solver is None else {"solver": make_solver()}
    options |= {"tol": tol, "max_passes": 2000}
    whole = sm.minimize(problem, **options)
    seen = []

    def stop(step):
        seen.append(step)
        return len(seen) >= n_steps

    with tempfile.TemporaryDirectory() as folder:
        options |= {"checkpoint": Path(folder) / "fit.checkpoint", "checkpoint_seconds": 0.0}
        stopped = sm.minimize(problem, callback=stop, **options)
        left = options["checkpoint"].exists()
        fit = sm.minimize(problem, **options)
    equal = hash_of(fit.W, fit.b) == hash_of(whole.W, whole.b) and fit.value == whole.value
    return {
        "": of_fit(fit, problem.reg, equal=bool(equal and left)),
        "stopped": of_fit(stopped, problem.reg),
        "whole": of_fit(whole, problem.reg),
    }


def path(data, loss, regs, tol=1e-3, *, threads):
    found = sm.path(objective(data, loss, threads), regs, tol)
    return {f"{k}": of_fit(fit, reg) for k, (reg, fit) in enumerate(found)}


def values_and_grads(data, loss, *, threads, single):
    problem = objective(data, loss, threads)
    rng = np.random.default_rng(5)
    W = 0.1 * rng.normal(size=(3, problem.n_features, problem.n_classes))
    b = rng.normal(size=(3, problem.n_classes))
    found = problem.values_and_grads(W, b, regs=[0.1, 0.01, 0.0], single=single)
    one = problem.value_and_grad(W[0], b[0], single)
    problem = problem.replace(loss=LOSSES["squared_hinge"])
    arrays = [*found, *one, *problem.hessian_product(W[0], b[0], W[1], b[1])]
    return {"": of_numbers(arrays, SINGLE if single else EXACT)}


def compared(*, threads, data, losses=USUAL, scaling="auto", call=sm.compare, names=None, **options):
    X, y, given = DATA[data][0]() if isinstance(data, str) else data
    options |= {"sample_weight": given.get("sample_weight"), "n_threads": threads, "scaling": scaling}
    return {"": of_comparison(call(X, y if names is None else np.array(names)[y], losses, **options))}


def classified(loss, *, threads, data, **parameters):
    X, y, given = DATA[data][0]()
    model = sm.LinearClassifier(loss, n_threads=threads, **parameters)
    model.fit(X, np.array([f"class {k}" for k in range(max(y) + 1)])[y], given.get("sample_weight"))
    numbers = [model.decision_function(X), model.score(X, model.predict(X))]
    numbers += [model.predict_proba(X)] if loss == "cross_entropy" else []
    fitted = of_fit(model.fit_, model.reg_, (model.coef_, model.intercept_))
    return {"": fitted, "predictions": of_numbers(numbers, EXACT)}


def cross_validated(*, threads, data, **parameters):
    X, y, _ = DATA[data][0]()
    model = sm.LinearClassifierCV(USUAL, n_threads=threads, **parameters).fit(X, y)
    fitted = of_fit(model.fit_, model.reg_, (model.coef_, model.intercept_))
    return {"": fitted, "path": of_comparison(model.path_)}


def lagrangian(inner=newton):
    return AugmentedLagrangian(inner=inner())


def ascent(fallback=None, patience=1000.0):
    return DualAscent(fallback=None if fallback is None else fallback(), patience=patience)


def all_cases(threads):
    """Return a function for each name; it returns records and arrays by the rest of the name."""
    cases = {}

    def add(name, function, *arguments, **options):
        cases[name] = partial(function, *arguments, threads=threads, **options)

    for data in DATA:
        for loss in USUAL:
            add(f"{data}/{loss}", fit, data, loss)
    for data in ("float64", "large", "60-classes", "140-classes", "sparse-wide"):
        for loss in SMOOTH:
            add(f"lbfgs/{data}/{loss}", fit, data, loss, make_solver=LBFGS)
    for data in ("float64", "large", "few-rows", "sparse", "weights"):
        for loss in SMOOTH:
            add(f"newton/{data}/{loss}", fit, data, loss, make_solver=newton)
    for loss in ("wide_hinge", "wide_squared_hinge"):
        for data in ("float32", "sparse", "60-classes"):
            add(f"{data}/{loss}", fit, data, loss)
        add(f"path/{loss}", path, "tiny", loss, 3)
    for data in ("float64", "few-rows", "sparse", "60-classes"):
        add(f"lagrangian/{data}", fit, data, "hinge", make_solver=lagrangian, tol=1e-3)
    add("lagrangian-lbfgs/float64", fit, "float64", "hinge", make_solver=partial(lagrangian, LBFGS), tol=1e-3)
    for loss in USUAL:
        fallback = lagrangian if loss == "hinge" else LBFGS
        for data in ("60-classes", "sparse"):
            add(f"ascent/{data}/{loss}", fit, data, loss, make_solver=ascent, max_passes=300)
            both = partial(ascent, fallback, 2.0)
            add(f"ascent-and-finisher/{data}/{loss}", fit, data, loss, make_solver=both)
        add(f"sgd/{loss}", fit, "float32", loss, reg=1.0, make_solver=partial(SGD, 0.01, epochs=5, seed=2))
        add(f"tol-1e-2/{loss}", fit, "float32", loss, tol=1e-2)
        add(f"tol-1e-6/{loss}", fit, "float32", loss, tol=1e-6)
        add(f"tol-1e-9/{loss}", fit, "two-classes", loss, tol=1e-9)
        add(f"tol-1e-16/{loss}", fit, "tiny", loss, tol=1e-16)
        add(f"budget/{loss}", fit, "float64", loss, reg=0.3, tol=1e-9, max_passes=15)
        add(f"warm-start/{loss}", warm_started, loss)
        add(f"refit/{loss}", refitted, loss)
        add(f"path/{loss}", path, "float32", loss, [1.0, 0.3, 0.1, 0.03, 0.01, 0.003])
        add(f"path-60-classes/{loss}", path, "60-classes", loss, [1.0, 0.1, 0.01])
        add(f"path-of-a-number/{loss}", path, "uint8", loss, 4)
        add(f"numbers/float32/{loss}", values_and_grads, "float32", loss, single=True)
        add(f"numbers/float64/{loss}", values_and_grads, "float64", loss, single=False)
        add(f"resume/{loss}", resumed, "float64", loss, 4)
    add("numbers/sparse", values_and_grads, "sparse", "hinge", single=False)
    add("numbers/uint8", values_and_grads, "uint8", "cross_entropy", single=True)
    add("numbers/reference", values_and_grads, "reference", "cross_entropy", single=False)
    add("tol-1e-9/60-classes", fit, "60-classes", "cross_entropy", tol=1e-9)
    add("resume-large/cross_entropy", resumed, "large", "cross_entropy", 5)
    add(
        "resume-newton/squared_hinge",
        resumed,
        "reference-larger",
        "squared_hinge",
        8,
        newton,
    )
    add("resume-ascent/cross_entropy", resumed, "60-classes", "cross_entropy", 5, ascent, 1e-3)
    add("resume-lagrangian", resumed, "sparse", "hinge", 3, lagrangian, 1e-3)
    add("compare/tiny", compared, data=dense(150, 6, 3), cv=3, names=["ant", "bee", "cow"])
    add("compare/uint8", compared, data=as_bytes(300, 64, 5), regs=[0.1, 0.01, 0.001], cv=3)
    add("compare/float32", compared, data=dense(400, 30, 6, np.float32, 0.7), cv=3, seed=1)
    weighted, other = dense(400, 20, 4, sample_weight=random_weights(400)), {"rule": "one_se", "scoring": "loss"}
    add("compare/weights", compared, data=weighted, regs=4, cv=3, scaling="standard", **other)
    add("compare/one-se", compared, data=dense(200, 10, 3, noise=0.8), cv=3, rule="one_se")
    add("compare/sparse", compared, data=sparse(400, 200, 4, 0.05), regs=[1.0, 0.1, 0.01], cv=3)
    add("compare/few-rows", compared, data=dense(90, 600, 3), regs=[10.0, 1.0, 0.1], cv=3)
    add("compare/60-classes", compared, data=dense(600, 20, 60, noise=0.8), regs=[0.1, 0.01], cv=2)
    X, y, _ = dense(300, 30, 5, noise=0.8)
    rare = np.where((y == 4) & (np.arange(300) > 15), 0, y)
    add("compare/rare-class", compared, data=(X, rare, {}), regs=[0.1, 0.01], cv=4)
    add("compare/groups", compared, data=(X, y, {}), regs=[0.1, 0.01], cv=3, groups=np.arange(300) // 7)
    order = np.random.default_rng(4).permutation(300)
    folds = [(np.append(order[k::2], order[k:60:2]), order[1 - k :: 2]) for k in range(2)]
    add("compare/repeated-rows", compared, data=(X, y, {}), regs=[0.1, 0.01], cv=folds)
    add("choose", compared, data=dense(400, 30, 6, np.float32, 0.7), call=sm.choose)
    add("choose/uint8", compared, data="uint8", regs=[0.1, 0.01], call=sm.choose, seed=3)
    add("classifier/hinge", classified, "hinge", data="uint8", reg=1e-3)
    add("classifier/squared_hinge", classified, "squared_hinge", data="weights", reg=1e-2, scaling="standard")
    add("classifier/cross_entropy", classified, "cross_entropy", data="two-classes", reg=1e-2, normalize_rows=True)
    add("classifier/balanced", classified, "cross_entropy", data="weights", reg=1e-2, class_weight="balanced")
    add("classifier-cv/float32", cross_validated, data="tiny", cv=3, regs=[1.0, 0.1, 0.01])
    add("classifier-cv/uint8", cross_validated, data="uint8", cv=2, regs=[0.1, 0.01], scoring="loss")
    return cases


def run_all(out, threads, only):
    """Run the cases, write OUT.json and OUT.npz and return whether any of them raised an error."""
    records, kept, failed, started = {}, {}, False, time.perf_counter()
    for name, case in all_cases(threads).items():
        if only not in name:
            continue
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = case()
        except Exception as error:  # the other cases are still of interest
            traceback.print_exc()
            failed, found = True, {"": ({"kind": "error", "hash": "", "error": repr(error)}, {})}
        for rest, (record, arrays) in found.items():
            whole = f"{name}/{rest}".rstrip("/")
            records[whole] = record
            kept |= {f"{whole}:{key}": array for key, array in arrays.items()}
        print(f"{time.perf_counter() - began:6.2f} s  {name}", file=sys.stderr, flush=True)
    about = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": threads,
        "seconds": round(time.perf_counter() - started, 1),
        "package": str(Path(sm.__file__).parent),
    }
    out.write_text(json.dumps({"about": about, "cases": records}, indent=1))
    np.savez_compressed(out.with_suffix(".npz"), **kept)
    print(f"{len(records)} records of {about['package']} in {about['seconds']} s", file=sys.stderr)
    return failed


# -- comparison --------------------------------------------------------------------------------------------


def above(record):
    """Return an upper bound on F at the point: the value plus a bound on its rounding error."""
    gap, bound = record["gap"], record["lower_bound"]
    return max(record["value"], bound / (1.0 - gap) if gap < 1.0 else record["value"])


def close_passes(before, after):
    return abs(after - before) <= 0.1 * before + 1.0


def fit_faults(before, after, old, new):
    faults, notes = [], []
    if before["status"] != after["status"]:
        faults.append(f"status {before['status']!r} → {after['status']!r}")
    if before["converged"] and not after["gap"] <= after["tol"]:
        faults.append(f"gap {after['gap']:.1e} > tol {after['tol']:g}")
    if not close_passes(before["n_passes"], after["n_passes"]):
        faults.append(f"passes {before['n_passes']} → {after['n_passes']}")
    if not after.get("equal", True):
        faults.append("not equal to the fit that it must equal")
    bound = max(before["lower_bound"], after["lower_bound"])
    excess = [above(record) * (1.0 + ROUNDING) - bound for record in (before, after)]
    if min(excess) < 0.0:
        faults.append("a lower bound of one contradicts the value of the other")
    if old["W"].shape != new["W"].shape or before["reg"] != after["reg"]:
        return [*faults, "not the same problem"], notes
    allowed = sum(max(e, 0.0) ** 0.5 for e in excess) ** 2
    moved = before["reg"] * float(np.square(new["W"] - old["W"]).sum())
    if not moved <= allowed:
        faults.append(f"λ‖W₁ - W₂‖² is {moved:.1e}, but the gaps allow {allowed:.1e}")
    notes.append(f"λ‖W₁ - W₂‖² {moved:.1e} of {allowed:.1e}")
    notes.append(f"b moved {float(np.abs(new['b'] - old['b']).max()):.1e}")
    notes += [f"{n} {before[n]:.6g} → {after[n]:.6g}" for n in ("gap", "n_passes") if before[n] != after[n]]
    return faults, notes


def number_faults(before, after, old, new):
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        return ["other shapes"], []
    errors = [float(np.abs(new[k] - old[k]).max()) / max(float(np.abs(old[k]).max()), 1e-300) for k in old]
    faults = [f"relative error {max(errors):.1e} > {before['rtol']:g}"] if max(errors) > before["rtol"] else []
    return faults, [f"relative error {max(errors):.1e}"]


def comparison_faults(before, after, old, new):
    faults = [
        f"{name} {before[name]} → {after[name]}" for name in ("loss", "chosen") if before[name] != after[name]
    ]
    notes = []
    for loss, was in before["paths"].items():
        now = after["paths"].get(loss)
        if now is None or was["regs"] != now["regs"]:
            faults.append(f"{loss}: other λ")
            continue
        gaps, was_gaps = np.array(now["gaps"]), np.array(was["gaps"])
        lost = int(((was_gaps <= before["tol"]) & (gaps > after["tol"])).sum())
        if lost:
            faults.append(f"{loss}: {lost} fits no longer reach the gap")
        passes = [int(np.sum(record["n_passes"])) for record in (was, now)]
        if not close_passes(*passes):
            faults.append(f"{loss}: passes {passes[0]} → {passes[1]}")
        values = old[loss][..., 0], new[loss][..., 0]
        apart = np.abs(values[1] - values[0]) > np.maximum(gaps, was_gaps) * np.maximum(*values) * (1.0 + ROUNDING)
        if apart.any():
            faults.append(f"{loss}: {int(apart.sum())} values of F differ by more than the gaps allow")
        moved = np.abs(np.array(now["scores"]) - np.array(was["scores"]))
        if (moved > np.array(was["standard_errors"])).any():
            faults.append(f"{loss}: a score moved by more than its standard error")
        if was["best"] != now["best"] or was["one_se"] != now["one_se"]:
            notes.append(f"{loss}: best, one_se {was['best']}, {was['one_se']} → {now['best']}, {now['one_se']}")
        if (old[loss] != new[loss]).any():
            notes.append(f"{loss}: passes {passes[0]} → {passes[1]}, scores moved by up to {moved.max():.1e}")
    return faults, notes


FAULTS = {"fit": fit_faults, "numbers": number_faults, "comparison": comparison_faults}


def arrays_of(path):
    """Return the arrays by case and name."""
    found = {}
    with np.load(path.with_suffix(".npz")) as stored:
        for key in stored:
            case, name = key.rsplit(":", 1)
            found.setdefault(case, {})[name] = stored[key]
    return found


def compare_records(paths):
    """Print a table of the cases that differ and return whether one of them fails."""
    before, after = (json.loads(path.read_text())["cases"] for path in paths)
    old, new = (arrays_of(path) for path in paths)
    n_same = n_equivalent = n_failed = 0
    for name, was in before.items():
        now = after.get(name)
        if now is None:
            faults, notes = ["removed"], []
        elif "error" in (was["kind"], now["kind"]):
            faults, notes = [was.get("error", now.get("error", ""))], []
        else:
            faults, notes = FAULTS[was["kind"]](was, now, old.get(name, {}), new.get(name, {}))
        same = now is not None and was["hash"] == now["hash"]
        n_failed += bool(faults)
        n_same += same and not faults
        n_equivalent += not same and not faults
        changed = [key for key in was if now is not None and key != "hash" and was[key] != now.get(key)]
        if faults or not same or changed:
            verdict = "FAIL" if faults else "same" if same else "ok  "
            hashes = f"{was['hash'][:8]} → {'-' if now is None else now['hash'][:8]}"
            what = "; ".join(faults or notes) if not same or faults else f"the same hash, but other {changed}"
            print(f"{verdict}  {name:42} {hashes:20} {what}")
    for name in after:
        if name not in before:
            print(f"new   {name}")
    print(f"{len(before)} cases: {n_same} with the same hash, {n_equivalent} equivalent, {n_failed} failed")
    return n_failed > 0


def main():
    parser = argparse.ArgumentParser(description="Record fits, or compare two records.")
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT.json")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE.json", "AFTER.json"))
    parser.add_argument("--threads", type=int, help="threads of the engine (default: one per core)")
    parser.add_argument("--only", default="", help="run only the cases whose name holds this text")
    options = parser.parse_args()
    if (options.out is None) == (options.compare is None):
        parser.error("give OUT.json, or --compare and two records")
    if options.compare is not None:
        sys.exit(compare_records(options.compare))
    sys.exit(run_all(options.out, options.threads, options.only))


if __name__ == "__main__":
    main()
