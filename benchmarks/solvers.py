"""Time of each solver until it is within 1e-2, 1e-4 and 1e-6 of the optimum, in seconds and passes over X.

    python benchmarks/solvers.py FOLDER [--data NAME ...] [--loss NAME ...] [--reg λ ...] [--peers NAME ...]
                                [--limit SECONDS] [--peer-limit SECONDS] [--rounds N] [--threads N]
                                [--cache DIR] [--out DIR]

FOLDER holds ``banking77-minilm.npz`` and ``cifar10-images.zip``; digits, ill and wide need nothing from it.
All programs minimise F = mean loss + λΣW² with a free bias, on 2 threads each. Kernels are compiled and caches
warmed before the clock starts. The relative suboptimality of a point is (F - L)/F, where F is evaluated in
float64 after the clock, by the same code for all, and L is the best lower bound that we proved.
softmargin appears three times: ``softmargin`` like the peers, by suboptimality; ``softmargin-proved``, until a fit
with that tolerance returns certified; and ``softmargin-nobias``, the proved gap without a bias,
beside ``dual-ascent``, which also has no bias and proves its gap.
LinearSVC and liblinear minimise another objective: they are timed until their own tolerance, no more.
`rivals.py` compares with more packages, whose iterates cannot be seen: each stop is a new fit there.

On a busy machine every solver whose threads wait by spinning can be ten times slower: the column
``others`` is the share of a core that other processes used, and should be near 0.

The results of a run replace those of the same data, loss, λ and solver, so that a long run can be done in parts.
Needs matplotlib, torch and liblinear-official.
"""

import argparse
import csv
import io
import json
import os
import platform
import time
import warnings
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

import softmargin as sm
from peers import DUAL, NAMES, OTHER, Case, dual_ascent, peers_for, run_peer
from softmargin.solvers import Solver, choose_solver

TARGETS = (1e-2, 1e-4, 1e-6)
PROVED_TARGETS = (1e-2, 1e-3, 1e-4, 1e-6)  # of those who prove their gap without a bias
REGS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
PLOTTED_REG, PLOTTED_POINTS = 1e-4, 40
REFERENCE_LIMIT = 60.0  # seconds more for a closer bound
FEW = 1e-4  # the means are over λ up to this
KEY = ("data", "loss", "reg", "solver")
COLUMNS = (
    *KEY,
    "target",
    "seconds",
    "passes",
    "ms_per_pass",
    "reached",
    "final_gap",
    "reference_gap",
    "others",
    "run",
)
CURVE = (*KEY, "seconds", "passes", "suboptimality")


# -- data ------------------------------------------------------------------------------------------------


def cifar10(folder, cache):
    files = [cache / f"cifar10-{part}.npy" for part in "Xy"] if cache else []
    if files and all(file.exists() for file in files):
        return tuple(np.load(file) for file in files)
    with zipfile.ZipFile(folder / "cifar10-images.zip") as pictures:
        names = sorted(name for name in pictures.namelist() if "/train/" in name and name.endswith(".jpg"))
        X = np.stack([np.asarray(Image.open(io.BytesIO(pictures.read(name)))).ravel() for name in names])
    y = np.unique([name.split("/")[-2] for name in names], return_inverse=True)[1]
    for file, array in zip(files, (X, y), strict=False):
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, array)
    return X, y


def ill():
    """Overlapping classes in features whose covariance has the eigenvalues 1/k², in random directions."""
    rng = np.random.default_rng(0)
    n, D, C = 20_000, 256, 10
    y = rng.integers(C, size=n)
    spread = 1.0 / np.arange(1, D + 1)
    rotation = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return ((0.1 * rng.normal(size=(C, D)))[y] + rng.normal(size=(n, D))) * spread @ rotation, y


def wide():
    rng = np.random.default_rng(0)
    n, D, C = 20_000, 128, 1000
    y = np.arange(n) % C
    X = rng.normal(size=(C, D))[y] + 2.0 * rng.normal(size=(n, D))
    return (X / np.sqrt(D)).astype(np.float32), y


def load(name, folder, cache):
    """Return X, y and the factor that everybody's features carry."""
    if name == "cifar10":
        return *cifar10(folder, cache), 1.0 / 255.0
    if name in ("ill", "wide"):
        return *{"ill": ill, "wide": wide}[name](), 1.0
    data = sm.load_dataset("digits" if name == "digits" else folder / "banking77-minilm.npz")
    return data.X, np.unique(data.y, return_inverse=True)[1], 1.0


# -- our side --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noted(Solver):
    """The solver that is chosen for an objective, which notes the problem and the points of its states."""

    points: list = field(default_factory=list)

    def steps(self, problem, start, tol):
        states, answer = choose_solver(problem).steps(problem, start, tol), None
        while True:
            try:
                state = states.send(answer)
            except StopIteration as stop:
                return stop.value
            self.points.append((problem, state.P))
            answer = yield state


def our_fit(make, tol, limit, start=(None, None)):
    """Return the fit and (seconds, passes, F, bound) as it went on; making the objective is timed too.

    F of the points between certificates, which a fit may know in float32 or not at all, is made after the clock.
    """
    started = time.perf_counter()
    objective, noted = make(), Noted()
    before = time.perf_counter() - started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.errors.ConvergenceWarning)
        fit = sm.minimize(
            objective, *start, tol, lambda _: time.perf_counter() - started > limit,
            max_passes=float("inf"), solver=noted,
        )  # fmt: skip
    earlier = objective.n_passes - fit.history[-1].n_passes
    events = [
        (before + step.seconds, earlier + step.n_passes, problem.value(P[:-1], P[-1]), step.lower_bound)
        for (problem, P), step in zip(noted.points, fit.history, strict=False)  # the last step repeats the best
    ]
    return fit, events


def proved(events):
    """Return (seconds, passes, gap) with the gap between the best value and the best bound so far."""
    value, bound, gaps = np.inf, 0.0, []
    for seconds, passes, F, lower in events:
        value, bound = min(value, F), max(bound, lower)
        gaps.append((seconds, passes, 1.0 - bound / value))
    return gaps


def suboptimal(events, bound):
    """Return (seconds, passes, suboptimality) of the best point so far."""
    return proved([(seconds, passes, F, bound) for seconds, passes, F, *_ in events])


# -- one case --------------------------------------------------------------------------------------------


def run_case(X, XP, y, scale, loss, reg, options):
    """Return {solver: runs of (seconds, passes, gap)}, {solver: seconds} of other objectives, and L's own gap."""

    def maker(rows=slice(None), fit_intercept=True):
        factors = None if scale == 1.0 else np.full(X.shape[1], scale)
        return lambda: sm.Objective(
            loss, X[rows], y[rows], reg, fit_intercept=fit_intercept, scale=factors, n_threads=options.threads
        )

    make, limit = maker(), options.limit
    case = Case(XP, y, loss, reg, make())
    peers = peers_for(case, options.peers)
    with_dual = DUAL in options.peers and isinstance(loss, sm.Hinge)
    # Warm up on a few rows of each class.
    few = np.concatenate([np.flatnonzero(y == c)[:3] for c in range(case.objective.n_classes)])
    our_fit(maker(few), 1e-3, 5.0)
    small = Case(XP[few], y[few], loss, reg, maker(few)())
    for name, peer in peers.items():
        if name not in OTHER:
            run_peer(peer, small, 0.2, 0.0)
    if with_dual:
        our_fit(maker(few, False), 1e-3, 5.0)
        dual_ascent(small.X, small.y, small.objective.n_classes, loss.delta, reg, 0.2, 0.5)

    curves, own, bound, best = {}, {}, 0.0, np.inf
    ours, watches = {}, {}

    def note(name, curve):
        curves.setdefault(name, []).append(curve)

    for _ in range(options.rounds):
        for target in TARGETS:
            fit, events = our_fit(make, target, limit)
            ours.setdefault(target, []).append(events)
            best = min([best] + [F for _, _, F, _ in events])
            bound = max([bound] + [lower for *_, lower in events])
        print(f"  softmargin {events[-1][0]:.2f} s", end="", flush=True)
        if not watches:  # the reference a little closer, beside the clock
            fit, events = our_fit(make, 0.1 * TARGETS[-1], min(limit, REFERENCE_LIMIT), (fit.W, fit.b))
            best, bound = min(best, fit.value), max(bound, fit.lower_bound)
        for name, peer in peers.items():
            watch = run_peer(peer, case, options.peer_limit, bound / (1.0 - TARGETS[-1]))
            watches.setdefault(name, []).append(watch.own_end if name in OTHER else watch.events())
            print(f", {name}", end="", flush=True)
        if with_dual:
            for target in PROVED_TARGETS:
                _, events = our_fit(maker(fit_intercept=False), target, limit)
                curves.setdefault("softmargin-nobias", {}).setdefault(target, []).append(proved(events))
                events = dual_ascent(XP, y, case.objective.n_classes, loss.delta, reg, options.peer_limit, target)
                curves.setdefault(DUAL, {}).setdefault(target, []).append(proved(events))
            print(f", {DUAL}", end="", flush=True)
    print()
    for events in ours[TARGETS[-1]]:
        note("softmargin", suboptimal(events, bound))
    for name, runs in watches.items():
        if name in OTHER:
            own[name] = min((run for run in runs if run is not None), default=None)
            continue
        for events in runs:
            best = min([best] + [F for *_, F in events])
            note(name, suboptimal(events, bound))
    curves["softmargin-proved"] = {target: [proved(events) for events in runs] for target, runs in ours.items()}
    return curves, own, 1.0 - bound / best


def rows_of(curves, own, reference_gap, limit):
    """Return the rows of a case: of several rounds the quickest; the end where a target was not reached."""
    rows = []
    for solver, runs in curves.items():
        for target in PROVED_TARGETS if solver in (DUAL, "softmargin-nobias") else TARGETS:
            tried = runs[target] if isinstance(runs, dict) else runs
            ends = [next((e for e in run if e[2] <= target), None) for run in tried]
            reached = any(ends)
            seconds, passes, _ = min(e for e in ends if e) if reached else min(run[-1] for run in tried)
            last = min((run[-1] for run in tried), key=lambda end: end[2])
            rows.append({
                "solver": solver, "target": f"{target:g}", "seconds": f"{seconds:.4g}", "passes": f"{passes:.4g}",
                "ms_per_pass": f"{1e3 * last[0] / max(last[1], 1):.4g}", "reached": int(reached),
                "final_gap": f"{last[2]:.2e}", "reference_gap": f"{reference_gap:.1e}",
            })  # fmt: skip
    for solver, seconds in own.items():
        reached = seconds is not None
        rows.append(
            {"solver": solver, "target": "own", "seconds": f"{seconds or limit:.4g}", "reached": int(reached)}
        )
    return rows


# -- results ---------------------------------------------------------------------------------------------


def merge(file, columns, rows):
    """Write rows to a CSV file, in place of those that it has of the same case and solver; return all."""
    old = list(csv.DictReader(file.open(newline=""))) if file.exists() else []
    new = {tuple(row[k] for k in KEY) for row in rows}
    rows = [row for row in old if tuple(row[k] for k in KEY) not in new] + rows
    rows.sort(key=lambda row: (row["data"], row["loss"], -float(row["reg"]), row["solver"]))
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def busy():
    """Return the processor seconds of all other processes (nan where unknown), and the time."""
    stat = Path("/proc/stat")
    ticks = [int(t) for t in stat.read_text().split("\n")[0].split()[1:]] if stat.exists() else [np.nan] * 8
    mine = sum(os.times()[:4])
    return (sum(ticks[:3]) + sum(ticks[5:8])) / os.sysconf("SC_CLK_TCK") - mine, time.perf_counter()


def this_run(options):
    blas = [i for i in threadpool_info() if i["user_api"] == "blas"]
    kernels = sorted({f"{i['internal_api']} {i['version']} {i.get('architecture', '')}".strip() for i in blas})
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), platform.processor())
    packages = ["softmargin", "numpy", "scipy", "numba", "scikit-learn", "torch", "liblinear-official"]
    command = ["python benchmarks/solvers.py FOLDER"]
    for name in ("data", "loss", "reg", "peers", "limit", "peer-limit", "rounds", "threads"):
        values = getattr(options, name.replace("-", "_"))
        values = values if isinstance(values, list) else [values]
        if name not in ("data", "loss", "reg", "peers") or len(values) < len(CHOICES[name]):
            command.append(f"--{name} " + " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor}, {options.threads} threads, {platform.system()}",
        "blas": ", ".join(kernels),
        "versions": f"Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in packages),
        "command": " ".join(command),
    }


def shown(row):
    return ("" if int(row["reached"]) else "> ") + f"{float(row['seconds']):.3g}"


def rank(row):
    """Sort the quickest that came there first; of those that did not, the one that came closest."""
    return (0, float(row["seconds"])) if int(row["reached"]) else (1, float(row["final_gap"]))


def table(rows, loss, target, peers, title, ours=("softmargin", "softmargin-proved")):
    """Return lines of one table: ours beside the quickest of the peers, ratios, and their geometric means."""
    lines, logs = [], {}
    for (data, reg), group in groupby(rows, key=lambda row: (row["data"], row["reg"])):
        of = {row["solver"]: row for row in group if row["target"] == f"{target:g}"}
        rivals = [row for name, row in of.items() if name in peers]
        if not rivals or not of.keys() >= set(ours):
            continue
        rival = min(rivals, key=rank)
        ratios = []
        for name in ours:
            ratio = float(rival["seconds"]) / float(of[name]["seconds"])
            sign = {(1, 1): "", (0, 1): "> ", (1, 0): "< ", (0, 0): "? "}[
                int(rival["reached"]), int(of[name]["reached"])
            ]
            ratios.append(f"{sign}{ratio:.2f}")
            if float(reg) <= FEW:
                for which in (data, "all data"):
                    logs.setdefault((which, name), []).append((np.log(ratio), sign))
        cells = [data, f"{float(reg):g}", *(shown(of[name]) for name in ours)]
        lines.append("| " + " | ".join([*cells, f"{shown(rival)} ({rival['solver']})", *ratios]) + " |")
    if not lines:
        return []
    head = ["data", "λ", *(f"{name} s" for name in ours), f"{title} s", *["ratio"] * len(ours)]
    for which in dict.fromkeys(which for which, _ in logs):
        means = []
        for name in ours:
            signs = {sign for _, sign in logs[which, name]} - {""}
            sign = "" if not signs else signs.pop() if len(signs) == 1 else "? "
            means.append(f"**{sign}{np.exp(np.mean([log for log, _ in logs[which, name]])):.2f}**")
        lines.append(
            "| " + " | ".join([which, f"≤ {FEW:g}", *[""] * len(ours), "**geometric mean**", *means]) + " |"
        )
    rule = "|" + " --- |" * len(head)
    return ["", f"### {loss}: {target:g}, against {title}", "", "| " + " | ".join(head) + " |", rule, *lines]


def write_tables(file, rows, runs):
    worst = max(float(row["others"]) for row in rows)
    lines = [
        "# Time to the optimum",
        "",
        "Seconds until the relative suboptimality is below the value in the heading, and (`softmargin-proved`)",
        "until softmargin has proved it. Ratio: seconds of the fastest other program over ours; `>` and `<` if",
        "one side reached its time limit, `?` if both did. `benchmarks/solvers.py` creates this file and",
        "describes the method.",
        f"Other processes used up to {worst:.2f} of a core during the runs.",
        "",
    ]
    for number in sorted({row["run"] for row in rows}, key=int):
        lines.append(f"- run {number}: " + "; ".join(f"{k} {v}" for k, v in runs[int(number)].items()))
    scikit = [name for name in NAMES if name.startswith("sklearn") and name not in OTHER]
    pytorch = [name for name in NAMES if name.startswith("torch")]
    against = [("scikit-learn's best", scikit), ("PyTorch's best", pytorch)]
    for loss in LOSSES:
        own = [row for row in rows if row["loss"] == loss]
        for title, peers in against:
            for target in TARGETS:
                lines += table(own, loss, target, peers, title)
        for target in PROVED_TARGETS:
            lines += table(own, loss, target, (DUAL,), "dual ascent, both without a bias", ("softmargin-nobias",))
        rest = [row for row in own if row["solver"] in OTHER]
        if rest:
            lines += ["", f"### {loss}: solvers of another objective, to their own tolerance", ""]
            lines += ["| data | λ | solver | s |", "|" + " --- |" * 4]
            lines += [f"| {row['data']} | {row['reg']} | {row['solver']} | {shown(row)} |" for row in rest]
    file.write_text("\n".join(lines) + "\n")


def plot(out, curves):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "softmargin"
    from matplotlib import pyplot

    for (data, loss), group in groupby(curves, key=lambda row: (row["data"], row["loss"])):
        figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
        for solver, points in groupby(group, key=lambda row: row["solver"]):
            points = [(float(p["seconds"]), float(p["suboptimality"])) for p in points]
            width = 2.5 if solver == "softmargin" else 1.2
            axes.loglog(*zip(*points, strict=True), label=solver, linewidth=width)
        axes.set(xlabel="seconds", ylabel="relative suboptimality", title=f"{data}, {loss}, λ = {PLOTTED_REG:g}")
        axes.set_ylim(1e-7, 2.0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        figure.savefig(out / f"solvers-{data}-{loss}.svg", metadata={"Date": None})
        pyplot.close(figure)


def thinned(curve):
    """Return at most so many points of a curve, evenly spaced in the logarithm of the gap."""
    levels = np.floor(-np.log10([max(gap, 1e-9) for *_, gap in curve]) * PLOTTED_POINTS / 7.0)
    return [e for i, e in enumerate(curve) if i in (0, len(curve) - 1) or levels[i] > levels[i - 1]]


CHOICES = {
    "data": ("digits", "banking77", "cifar10", "ill", "wide"), "loss": tuple(LOSSES), "reg": REGS, "peers": NAMES,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    for name, choices in CHOICES.items():
        more = {"type": float} if name == "reg" else {"choices": choices}
        parser.add_argument(f"--{name}", nargs="*", default=list(choices), **more)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds of one run of one solver")
    parser.add_argument("--peer-limit", type=float, help="seconds of one run of a peer, where it is less")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each solver; the quickest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="folder that keeps the decoded pictures")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.peer_limit = options.peer_limit or options.limit
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "solvers-runs.json"
    runs = json.loads(log.read_text()) if log.exists() else []
    runs.append(this_run(options))
    log.write_text(json.dumps(runs, indent=1) + "\n")
    print(*runs[-1].values(), sep="\n")
    import torch

    torch.set_num_threads(options.threads)
    for data in options.data:
        X, y, scale = load(data, options.folder, options.cache)
        XP = X if X.dtype.kind == "f" and scale == 1.0 else X.astype(np.float32) * np.float32(scale)
        for loss in options.loss:
            for reg in options.reg:
                print(f"{data} {loss} {reg:g}", flush=True)
                before = busy()
                with threadpool_limits(options.threads):
                    curves, own, reference_gap = run_case(X, XP, y, scale, LOSSES[loss], reg, options)
                others = (busy()[0] - before[0]) / (busy()[1] - before[1])
                print(f"  other processes took {others:.2f} of a core", flush=True)
                case = {"data": data, "loss": loss, "reg": f"{reg:g}"}
                rows = [
                    {**case, "others": f"{others:.2f}", "run": str(len(runs) - 1), **row}
                    for row in rows_of(curves, own, reference_gap, options.peer_limit)
                ]
                rows = merge(options.out / "solvers.csv", COLUMNS, rows)
                write_tables(options.out / "solvers.md", rows, runs)
                if np.isclose(reg, PLOTTED_REG):
                    points = [
                        {
                            **case,
                            "solver": name,
                            "seconds": f"{s:.4g}",
                            "passes": f"{p:.4g}",
                            "suboptimality": f"{g:.3e}",
                        }
                        for name, found in curves.items()
                        if name != "softmargin-proved"
                        for s, p, g in thinned((found[TARGETS[-1]] if isinstance(found, dict) else found)[0])
                    ]
                    plot(options.out, merge(options.out / "solvers-curves.csv", CURVE, points))


if __name__ == "__main__":
    main()
