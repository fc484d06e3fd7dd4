"""Seconds of each program to a true excess of 1e-3, 1e-4 and 1e-6 over the certified optimum.

    python benchmarks/rivals.py FOLDER [--data NAME ...] [--reg λ ...] [--only NAME ...] [--budget SECONDS]
                               [--rounds N] [--threads N] [--clock wall|cpu] [--out FILE]

FOLDER holds ``banking77-minilm.npz`` and ``cifar10-images.zip``; the other data are made here.
The reference is our fit at tol 1e-10; the excess of a point is (F - L)/L with its lower bound L and F in float64,
evaluated after the clock by the same code for all. Every program runs in a process of its own, with the same
number of threads in its BLAS, its OpenMP and itself. Its tolerance goes from loose to tight; each stop is a new
fit. The quickest stop that meets a target is run N times; the quickest of them counts. The first fit of each
problem is not counted. "Proved" counts up to the first stop whose own duality gap meets the target.
Needs cyanure, scikit-learn-intelex, snapml and mlpack; a program that is not installed is left out, with a note.
"""

import argparse
import csv
import functools
import importlib.util
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import sparse

from rival_data import DATA, PROBLEMS
from rival_fits import CE, FREE, HI, OURS, RIVALS, SQ, work

PATIENCE = 4.0  # wall seconds of a CPU second
FIRST_LIMIT = 120.0  # seconds of the first fit of a process
TARGETS = (1e-3, 1e-4, 1e-6)
REGS = (1e-3, 1e-4, 1e-5)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TBB_NUM_THREADS")
KEY = ("data", "loss", "bias", "reg", "target")
COLUMNS = (*KEY, "program", "seconds", "proved", "stop", "closest", "false", "why")


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


def swept(fit, stops, excess, highest, options):
    """Return {stop: (least seconds, excess, claimed gap)}, why the sweep ended and the number of false bounds."""
    found, spent, why, false = {}, 0.0, "", 0

    def run(stop, left):
        nonlocal why, false
        result = fit(stop, left * (PATIENCE if options.clock == "cpu" else 1.0))
        if isinstance(result, str):
            why = result
            return left
        wall, cpu, W, b, gap = result
        seconds = cpu if options.clock == "cpu" else wall
        if not np.isfinite(W).all():
            why = "not finite"
        elif stop not in found or seconds < found[stop][0]:
            above = excess(W, b)
            found[stop] = seconds, above, gap
            # Its bound F(1 - gap) is above a value that we know.
            false += gap is not None and (1.0 + above) * (1.0 - gap) > highest * (1.0 + 1e-9)
        return seconds

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
    return found, why, false


def first(found, target, at):
    """Return the quickest stop whose excess (at = 1) or proved gap (at = 2) meets the target."""
    able = [stop for stop, run in found.items() if run[at] is not None and run[1] <= target and run[at] <= target]
    return min(able, key=lambda stop: found[stop][0], default=None)


def reference(loss, X, y, reg, bias, options):
    """Return the objective, our best lower bound and F over it."""
    import softmargin as sm

    losses = {CE: sm.CrossEntropy(), SQ: sm.SquaredHinge(), HI: sm.Hinge()}
    objective = sm.Objective(losses[loss], X, y, reg, fit_intercept=bias == FREE)
    sm.minimize(objective, tol=0.5)  # compiles
    started = time.perf_counter()
    fit = sm.minimize(
        objective, tol=1e-10, max_passes=float("inf"),
        callback=lambda _: time.perf_counter() - started > 2.0 * options.budget,
    )  # fmt: skip
    return objective, fit.lower_bound, fit.value / fit.lower_bound


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
            gave_up = set()
            for reg in sorted(options.reg, reverse=True):
                objective, lower, highest = reference(loss, X, y, reg, bias, options)
                print(f"  {loss}, {bias}, λ = {reg:g}: reference gap {highest - 1.0:.1e}", flush=True)

                def excess(W, b, objective=objective, lower=lower):
                    return (objective.value(W, b) - lower) / lower

                for rival in RIVALS:
                    if rival.name not in fitters or not rival.takes(loss, bias, X, n_classes):
                        continue
                    fit = functools.partial(fitters[rival.name], file, loss, bias, reg)
                    found, why, false = {}, "not tried: too slow or too far at a larger λ", 0
                    if rival.name not in gave_up:
                        found, why, false = swept(fit, rival.stops, excess, highest, options)
                    closest = min((run[1] for run in found.values()), default=np.inf)
                    if closest > TARGETS[0]:
                        gave_up.add(rival.name)
                    cells = []
                    for target in TARGETS:
                        stop, sure = first(found, target, 1), first(found, target, 2)
                        seconds = "" if stop is None else f"{found[stop][0]:.4g}"
                        proved = "" if sure is None else f"{found[sure][0]:.4g}"
                        cells.append(f"{seconds or '-'} ({proved or '-'})")
                        write({
                            "data": data, "loss": loss, "bias": bias, "reg": f"{reg:g}", "program": rival.name,
                            "target": f"{target:g}", "seconds": seconds, "proved": proved,
                            "stop": "" if stop is None else f"{stop:g}", "closest": f"{closest:.1e}",
                            "false": false, "why": why,
                        })  # fmt: skip
                    print(
                        f"    {rival.name:26} {'  '.join(cells)}  closest {closest:.0e} {why}"
                        + (f" {false} false bounds" if false else ""),
                        flush=True,
                    )


# -- tables ----------------------------------------------------------------------------------------------


def this_run(options):
    from threadpoolctl import threadpool_info

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), platform.processor())
    blas = {f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in threadpool_info()
            if i["user_api"] == "blas"}  # fmt: skip
    end = sys.argv.index("--out") if "--out" in sys.argv else len(sys.argv)
    words = ["FOLDER", *sys.argv[2:end], *sys.argv[end + 2 :]]
    packages = sorted({rival.package for rival in RIVALS if installed(rival)} | {"numpy", "numba", "softmargin"})
    missing = sorted({rival.package for rival in RIVALS if not installed(rival)})
    return [
        f"- command: `python benchmarks/rivals.py {shlex.join(words)}`",
        f"- date {time.strftime('%Y-%m-%d')}; {processor}, {os.cpu_count()} cores, of which each program uses "
        f"{options.threads}; {', '.join(sorted(blas))}",
        f"- Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
        *([f"- not installed, so left out: {', '.join(missing)}"] if missing else []),
        *([f"- {options.note}"] if options.note else []),
    ]


def number(text):
    return float(text) if text else np.inf


def shown(row):
    """Return the seconds, or how close the program came within the budget."""
    if row["seconds"]:
        return f"{float(row['seconds']):.3g}"
    return "–" if row["closest"] == "inf" else f"> ({row['closest']})"


def without_false_proofs(rows):
    """Return the rows without the proofs of programs that gave a false bound in a problem, and sentences."""
    false = {}
    for row in rows:
        key = row["program"], row["loss"], row["bias"]
        counts = false.setdefault(key, [0, 0])
        counts[0] += row["target"] == f"{TARGETS[0]:g}" and int(row["false"]) > 0
        counts[1] += row["target"] == f"{TARGETS[0]:g}"
    lines = [
        f"- {name}, {loss}, {bias}: in {some} of {all_} (data, λ) its lower bound is above a known value of F, so "
        "its gaps are not shown as proved."
        for (name, loss, bias), (some, all_) in false.items() if some
    ]  # fmt: skip
    kept = [
        {**row, "proved": "" if false[row["program"], row["loss"], row["bias"]][0] else row["proved"]}
        for row in rows
    ]
    return kept, lines


def ahead(cases):
    """Return the lines of the cases in which another program is the quickest, the largest ratio first."""
    found = []
    for case, rows in cases.items():
        ours = number(rows[OURS]["seconds"])
        quicker = sorted(
            (number(row["seconds"]), name) for name, row in rows.items() if number(row["seconds"]) < ours
        )
        if quicker:
            seconds, name = quicker[0]
            found.append((ours / seconds, *case, name, f"{seconds:.3g}", shown(rows[OURS]), str(len(quicker))))
    found.sort(reverse=True)
    head = [
        "data",
        "loss",
        "bias",
        "λ",
        "excess",
        "quickest program",
        "s",
        "softmargin s",
        "programs ahead",
        "ratio",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |" for ratio, *cells in found]
    return len(found), lines


def tables(rows, options):
    rows, sentences = without_false_proofs(rows)
    cases = {}
    for row in rows:
        key = tuple(row[k] for k in KEY)
        cases.setdefault(key, {})[row["program"]] = row
    n_ahead, listed = ahead(cases)
    lines = [
        "# Rivals at equal true excess", "",
        "Seconds until F is within the excess of the certified optimum; each program's tolerance is swept, each",
        "stop is a new fit, and the quickest that meets the excess counts. In brackets: until the program itself",
        "has proved a duality gap of that size. >: not reached within the budget (with the least excess).",
        "`benchmarks/rivals.py` makes this file and describes the method.",
        "",
        *this_run(options), *sentences, "",
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
