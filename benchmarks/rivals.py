"""Seconds of each program to a true excess of 1e-3, 1e-4 and 1e-6 over the certified optimum.

    python benchmarks/rivals.py FOLDER [--data NAME ...] [--reg λ ...] [--only NAME ...] [--budget SECONDS]
                               [--rounds N] [--threads N] [--clock wall|cpu] [--out FILE]

FOLDER holds ``banking77-minilm.npz`` and ``cifar10-images.zip``; the other data are made here.
The reference is our fit at tol 1e-10; the excess of a point is (F - L)/L with its lower bound L and F in float64,
evaluated after the clock by the same code for all. Every program runs in a process of its own, with the same number
of threads in its BLAS, its OpenMP and itself. Its tolerance goes from loose to tight; each stop is a new fit from
zero. The quickest stop that meets a target is run N times; the quickest of them counts. The first fit of each
problem is not counted. "Proved" counts up to the first stop whose own duality gap meets the target.
Needs cyanure, scikit-learn-intelex, snapml and mlpack; a program that is not installed is left out, with a note.
"""

import argparse
import csv
import functools
import importlib.util
import io
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import sparse

from rival_fits import CE, FREE, HI, NONE, OURS, RIVALS, SQ, work

FIRST_LIMIT = 120.0  # seconds of the first fit of a process
TARGETS = (1e-3, 1e-4, 1e-6)
REGS = (1e-3, 1e-4, 1e-5)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TBB_NUM_THREADS")
COLUMNS = ("data", "loss", "bias", "reg", "program", "target", "seconds", "proved", "stop", "closest", "why")


# -- data ------------------------------------------------------------------------------------------------


def digits(folder):
    import softmargin as sm

    data = sm.load_dataset("digits")
    return data.X, np.unique(data.y, return_inverse=True)[1]


def banking77(folder):
    import softmargin as sm

    data = sm.load_dataset(folder / "banking77-minilm.npz")
    return data.X, np.unique(data.y, return_inverse=True)[1]


def cifar10(folder):
    """Return the pixels of 10,000 pictures, 0 to 1."""
    from PIL import Image

    with zipfile.ZipFile(folder / "cifar10-images.zip") as pictures:
        names = sorted(name for name in pictures.namelist() if "/train/" in name and name.endswith(".jpg"))[::5]
        X = np.stack([np.asarray(Image.open(io.BytesIO(pictures.read(name)))).ravel() for name in names])
    return X.astype(np.float32) / np.float32(255.0), np.unique([n.split("/")[-2] for n in names], return_inverse=True)[1]


def table(name):
    def make(folder):
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return (X - X.mean(axis=0)) / X.std(axis=0), y

    return make


def news(folder):
    """Return word counts of 8,000 made-up texts: Zipf frequencies, 20 topics, rows of length 1."""
    rng = np.random.default_rng(0)
    n, D, C, length, own = 8_000, 20_000, 20, 80, 200
    zipf = 1.0 / np.arange(1, D + 1)
    words = rng.choice(D, (n, length), p=zipf / zipf.sum())
    topics = rng.choice(D, (C, own))
    y = rng.integers(C, size=n)
    about = rng.random((n, length)) < 0.08
    words[about] = topics[y][np.nonzero(about)[0], rng.integers(own, size=about.sum())]
    X = sparse.csr_matrix((np.ones(n * length), words.ravel(), np.arange(0, n * length + 1, length)), (n, D))
    X.sum_duplicates()
    return sparse.csr_matrix(X.multiply(1.0 / np.sqrt(X.multiply(X).sum(axis=1)))), y


def embeddings(folder):
    """Return 8,000 × 512 overlapping directions of 120 classes, rows of length 1, float32."""
    rng = np.random.default_rng(0)
    n, D, C = 8_000, 512, 120
    y = rng.integers(C, size=n)
    X = rng.normal(size=(C, D))[y] + 2.0 * rng.normal(size=(n, D)) * np.arange(1, D + 1) ** -0.25
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def two(make):
    """Return the same data with two classes: the first half of the classes, and the rest."""

    def halves(folder):
        X, y = make(folder)
        return X, (2 * y > y.max()).astype(np.int64)

    return halves


DATA = {
    "iris": table("iris"), "wine": table("wine"), "digits": digits, "news": news, "banking77": banking77,
    "embeddings": embeddings, "cifar10": cifar10,
    "digits, 2 classes": two(digits), "news, 2 classes": two(news), "banking77, 2 classes": two(banking77),
}  # fmt: skip
PROBLEMS = {name: [(CE, FREE)] for name in DATA}
for _name in ("digits", "banking77"):
    PROBLEMS[_name] += [(CE, NONE), (SQ, FREE), (HI, NONE)]
for _name in DATA:
    if _name.endswith("2 classes"):
        PROBLEMS[_name] = [(CE, NONE), (SQ, NONE), (HI, NONE)]


# -- measuring -------------------------------------------------------------------------------------------


class Fitter:
    """A process that fits with one program; it is killed at the limit and starts again at the next call."""

    def __init__(self, name, threads):
        self.arguments, self.process, self.seen = (name, threads), None, set()

    def __call__(self, file, loss, bias, reg, stop, limit):
        """Return (wall seconds, CPU seconds, W, b, gap), or the reason why there is none."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, other = context.Pipe()
            self.process = context.Process(target=work, args=(*self.arguments, other), daemon=True)
            self.process.start()
            self.seen = set()
        if (file, loss, bias) not in self.seen:
            self.seen.add((file, loss, bias))
            first = self(file, loss, bias, reg, stop, FIRST_LIMIT)  # not counted: it loads and compiles
            if isinstance(first, str):
                return first
        self.pipe.send((file, loss, bias, reg, stop))
        if self.pipe.poll(limit):
            return self.pipe.recv()
        self.close()
        return "limit"

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def swept(fit, stops, excess, options):
    """Return {stop: (least seconds, excess, gap)} and why the sweep ended."""
    found, spent, why = {}, 0.0, ""

    def run(stop, left):
        nonlocal why
        result = fit(stop, left)
        if isinstance(result, str):
            why = result
            return left
        wall, cpu, W, b, gap = result
        seconds = cpu if options.clock == "cpu" else wall
        if not np.isfinite(W).all():
            why = "not finite"
        elif stop not in found or seconds < found[stop][0]:
            found[stop] = seconds, excess(W, b), gap
        return wall

    for stop in stops:
        spent += run(stop, options.budget - spent)
        gap = found[stop][2] if stop in found else None
        done = stop in found and found[stop][1] <= TARGETS[-1] and (gap is None or gap <= TARGETS[-1])
        if done or why or spent >= options.budget:
            break
    best = {first(found, target, at) for target in TARGETS for at in (1, 2)} - {None}
    spent = 0.0
    for stop in sorted(best, reverse=True):
        for _ in range(options.rounds - 1):
            if spent + found[stop][0] < options.budget and not why:
                spent += run(stop, options.budget)
    return found, why


def first(found, target, at):
    """Return the quickest stop whose excess (at = 1) or proved gap (at = 2) meets the target."""
    able = [stop for stop, run in found.items() if run[at] is not None and run[1] <= target and run[at] <= target]
    return min(able, key=lambda stop: found[stop][0], default=None)


def reference(loss, X, y, reg, bias, options):
    """Return the objective, our best lower bound and its gap."""
    import softmargin as sm

    losses = {CE: sm.CrossEntropy(), SQ: sm.SquaredHinge(), HI: sm.Hinge()}
    objective = sm.Objective(losses[loss], X, y, reg, fit_intercept=bias == FREE)
    sm.minimize(objective, tol=0.5)  # compiles
    started = time.perf_counter()
    fit = sm.minimize(
        objective, tol=1e-10, max_passes=float("inf"),
        callback=lambda _: time.perf_counter() - started > 2.0 * options.budget,
    )  # fmt: skip
    return objective, fit.lower_bound, fit.gap


def installed(rival):
    module = {"scikit-learn-intelex": "sklearnex", "scikit-learn": "sklearn"}.get(rival.package, rival.package)
    return importlib.util.find_spec(module) is not None


def measure(data, fitters, options, write):
    X, y = DATA[data](options.folder)
    n_classes = int(y.max()) + 1
    print(f"{data}: {X.shape[0]} × {X.shape[1]} {X.dtype}, {n_classes} classes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        if sparse.issparse(X):
            np.savez(file, y=y, data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape)
        else:
            np.savez(file, X=X, y=y)
        for loss, bias in PROBLEMS[data]:
            for reg in options.reg:
                objective, lower, gap = reference(loss, X, y, reg, bias, options)
                print(f"  {loss}, {bias}, λ = {reg:g}: reference gap {gap:.1e}", flush=True)

                def excess(W, b, objective=objective, lower=lower):
                    return (objective.value(W, b) - lower) / lower

                for rival in RIVALS:
                    if rival.name not in fitters or not rival.takes(loss, bias, X, n_classes):
                        continue
                    fit = functools.partial(fitters[rival.name], file, loss, bias, reg)
                    found, why = swept(fit, rival.stops, excess, options)
                    closest = min((run[1] for run in found.values()), default=np.inf)
                    cells = []
                    for target in TARGETS:
                        stop, sure = first(found, target, 1), first(found, target, 2)
                        seconds = "" if stop is None else f"{found[stop][0]:.4g}"
                        proved = "" if sure is None else f"{found[sure][0]:.4g}"
                        cells.append(f"{seconds or '-'} ({proved or '-'})")
                        write({
                            "data": data, "loss": loss, "bias": bias, "reg": f"{reg:g}", "program": rival.name,
                            "target": f"{target:g}", "seconds": seconds, "proved": proved,
                            "stop": "" if stop is None else f"{stop:g}", "closest": f"{closest:.1e}", "why": why,
                        })  # fmt: skip
                    print(f"    {rival.name:26} {'  '.join(cells)}  closest {closest:.0e} {why}", flush=True)


# -- tables ----------------------------------------------------------------------------------------------


def this_run(options):
    from threadpoolctl import threadpool_info

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), platform.processor())
    blas = {f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in threadpool_info()
            if i["user_api"] == "blas"}  # fmt: skip
    packages = sorted({rival.package for rival in RIVALS if installed(rival)} | {"numpy", "numba", "softmargin"})
    missing = sorted({rival.package for rival in RIVALS if not installed(rival)})
    return [
        f"- command: `python benchmarks/rivals.py {shlex.join(['FOLDER', *sys.argv[2:]])}`",
        f"- date {time.strftime('%Y-%m-%d')}; {processor}, {os.cpu_count()} cores, of which each program uses "
        f"{options.threads}; {', '.join(sorted(blas))}",
        f"- Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
        *([f"- not installed, so left out: {', '.join(missing)}"] if missing else []),
        *([f"- {options.note}"] if options.note else []),
    ]


def number(text):
    return float(text) if text else np.inf


def shown(row):
    """Return the seconds, or how close the program came."""
    return f"{float(row['seconds']):.3g}" if row["seconds"] else f"> (closest {row['closest']})"


def ahead(cases):
    """Return the lines of the cases in which another program is the quickest, the largest ratio first."""
    found = []
    for case, rows in cases.items():
        ours = number(rows[OURS]["seconds"])
        quicker = sorted((number(row["seconds"]), name) for name, row in rows.items() if number(row["seconds"]) < ours)
        if quicker:
            seconds, name = quicker[0]
            found.append((ours / seconds, *case, name, f"{seconds:.3g}", shown(rows[OURS]), str(len(quicker))))
    found.sort(reverse=True)
    head = ["data", "loss", "bias", "λ", "excess", "quickest program", "s", "softmargin s", "programs ahead", "ratio"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |" for ratio, *cells in found]
    return len(found), lines


def tables(rows, options):
    cases = {}
    for row in rows:
        key = tuple(row[k] for k in ("data", "loss", "bias", "reg", "target"))
        cases.setdefault(key, {})[row["program"]] = row
    n_ahead, listed = ahead(cases)
    lines = [
        "# Rivals at equal true excess", "",
        "Seconds until F is within the excess of the certified optimum; each program's tolerance is swept, each",
        "stop is a new fit, and the quickest that meets the excess counts. In brackets: until the program itself has",
        "proved a duality gap of that size. `benchmarks/rivals.py` makes this file and describes the method.", "",
        *this_run(options), "",
        f"## Cases in which another program is ahead: {n_ahead} of {len(cases)}", "",
        "Ratio: seconds of softmargin over those of the quickest.", "", *listed, "",
    ]  # fmt: skip
    for loss, bias in dict.fromkeys((loss, bias) for _, loss, bias, _, _ in cases):
        own = {key: of for key, of in cases.items() if key[1:3] == (loss, bias)}
        names = list(dict.fromkeys(name for of in own.values() for name in of))
        lines += [f"## {loss}, {bias}", "", "| data | λ | excess | " + " | ".join(names) + " | ratio |"]
        lines += ["|" + " --- |" * (len(names) + 4)]
        for (data, _, _, reg, target), of in own.items():
            best = min(number(row["seconds"]) for row in of.values())
            cells = []
            for name in names:
                row = of.get(name)
                if row is None:
                    cells.append("")
                    continue
                text = f"**{shown(row)}**" if number(row["seconds"]) == best < np.inf else shown(row)
                cells.append(text + (f" ({float(row['proved']):.3g})" if row["proved"] else ""))
            rival = min((number(row["seconds"]) for name, row in of.items() if name != OURS), default=np.inf)
            ratio = rival / number(of[OURS]["seconds"]) if np.isfinite(number(of[OURS]["seconds"])) else 0.0
            cells.append(f"{ratio:.2f}" if 0.0 < ratio < np.inf else "")
            lines.append(f"| {data} | {reg} | {target} | " + " | ".join(cells) + " |")
        lines += ["", "Ratio: seconds of the quickest other program over ours.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="*", choices=list(DATA), default=list(DATA))
    parser.add_argument("--reg", nargs="*", type=float, default=list(REGS))
    parser.add_argument("--only", nargs="*", default=[], help="names of programs beside softmargin")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds of one sweep of one program")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the stops that count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--note", default="", help="a sentence for the head of the tables")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rivals.md"))
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, str(options.threads)))  # of the processes
    fitters = {
        rival.name: Fitter(rival.name, options.threads) for rival in RIVALS
        if installed(rival) and (not options.only or rival.name in (OURS, *options.only))
    }  # fmt: skip
    rows = []
    for data in options.data:
        measure(data, fitters, options, rows.append)
        options.out.write_text(tables(rows, options))
        with options.out.with_suffix(".csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
