"""Cost of one pass: value and gradient of the mean loss, against the hardware limit and other programs.

    python benchmarks/engine.py [--part NAME ...] [--rounds N] [--threads N] [--seconds S]
                                [--mapped FOLDER] [--mapped-rows N] [--out DIR]

The limit of a pass is the larger of the time to read X once and the time of its 4·N·D·C floating-point operations,
both at rates measured in this run, the second under the fastest kernel that OpenBLAS has here
(``OPENBLAS_CORETYPE``); if that is not its default, the run restarts with it, so that peers have it too.

All programs compute the same sums from the same data in main memory with as many threads (2). Peers get X in the
type they multiply in: the time to convert bytes or float16 for them is not counted. The programs take
turns; each figure is the median of the rounds. ``extra`` is how much the resident memory grew at its highest while
one pass was made.

``points`` compares several points from one reading of X with one after the other, ``threads`` is our own pass with
1, 2, … threads, each beside the limit of as many.

``--mapped`` adds a pass over a memory-mapped float16 file, made in that folder and removed again: 6 GB by default.

The results of a run replace those of the same part. Needs matplotlib and torch.
"""

import argparse
import csv
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numba
import numpy as np
import torch
from sklearn._loss import HalfMultinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss
from threadpoolctl import threadpool_info, threadpool_limits

import softmargin as sm

LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
SQUARE = 50_000, 3_072, 10  # the shape of CIFAR-10
MANY = 20_000, 768, 1_000
BY_CLASSES = (
    *((60_000, 512, C) for C in (2, 3, 4, 5, 7, 10, 15, 20, 32, 50, 64)),
    *((20_000, 512, C) for C in (77, 100, 150, 200, 300)),
    *((8_000, 512, C) for C in (500, 1_000, 2_000)),
    *((C, 512, C) for C in (5_000, 10_000)),
)
BY_FEATURES = (
    *((1_000_000, D, 10) for D in (1, 2, 3, 5, 8)),
    *((300_000, D, 10) for D in (16, 33, 64)),
    *((60_000, D, 10) for D in (128, 300, 1_000)),
    *((10_000, D, 10) for D in (4_096, 16_384)),
)
CORNERS = (
    (1_000_000, 1, 2),
    (20_000, 16_384, 2),
    (3_000, 16_384, 1_000),
    (12_000, 4, 10_000),
    (20_000, 2, 1_000),
    (10_003, 384, 77),
    (1_797, 64, 10),
    (150, 4, 3),
)
PARTS = {
    "pictures": [
        (*SQUARE, dtype, loss)
        for loss in LOSSES
        for dtype in (
            ("uint8", "float16", "float32", "float64") if loss == "cross_entropy" else ("uint8", "float32")
        )
    ],
    "many-classes": [(*MANY, dtype, loss) for loss in LOSSES for dtype in ("float32", "float16")],
    "by-classes": [(*shape, "float32", loss) for shape in BY_CLASSES for loss in ("cross_entropy", "hinge")],
    "by-features": [(*shape, "float32", "cross_entropy") for shape in BY_FEATURES],
    "corners": [(*shape, "float32", "cross_entropy") for shape in CORNERS],
    "double": [
        (*shape, "float64", "cross_entropy")
        for shape in (
            (60_000, 512, 3),
            (60_000, 512, 10),
            (20_000, 512, 77),
            (8_000, 512, 1_000),
            (300_000, 16, 10),
        )
    ],
}
POINTS = 5  # evaluated from one reading of X, or one by one
AT_ONCE = (
    *((60_000, 512, C, "float32") for C in (2, 3, 5, 10)),
    (20_000, 3_072, 2, "float16"),
    (20_000, 3_072, 10, "uint8"),
    (300_000, 64, 2, "float32"),
)
PARTS["points"] = [(*shape, "cross_entropy") for shape in AT_ONCE]
PARTS["threads"] = [(*SQUARE, dtype, "cross_entropy") for dtype in ("uint8", "float32")]
PEERS = ("numpy", "sklearn", "torch", "torch-fused")
SHORT = {
    "points": f"limit | {POINTS} points at once | of limit | one by one | one by one / at once",
    "threads": "threads | limit of as many | ours | of limit",
}
COLUMNS = ("part", "N", "D", "C", "dtype", "loss", "threads", "side", "ms", "limit_ms", "extra_MB", "run")
CORE_TYPES = ("SkylakeX", "Zen", "Haswell")


# -- the machine -----------------------------------------------------------------------------------------


def product_rates(threads):
    """Return the most floating-point operations a second of a square product, by type."""
    rates = {}
    for dtype in ("float32", "float64"):
        A = np.ones((2048, 2048), dtype)
        with threadpool_limits(threads):
            times = [seconds_of(lambda: A @ A) for _ in range(6)]  # noqa: B023
        rates[dtype] = 2.0 * 2048**3 / min(times)
    return rates


def best_core_type(threads):
    """Return the core type of OpenBLAS with the fastest float32 product, or None if its own choice is that."""
    code = f"import engine, json; print(json.dumps(engine.product_rates({threads})))"
    found = {}
    for name in (None, *CORE_TYPES):
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        environment |= {"OPENBLAS_CORETYPE": name} if name else {}
        child = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
        if child.returncode == 0:  # a kernel that the machine cannot run ends the child
            found[name] = json.loads(child.stdout)["float32"]
    best = max(found, key=lambda name: found[name])
    return best if found[best] > 1.05 * found[None] else None


@cache
def limits_of(threads):
    """Return the rates of products and the bandwidth of so many threads, measured once."""
    return product_rates(threads), bandwidth(threads)


@numba.njit(nogil=True, fastmath=True)
def _sum(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total


def bandwidth(threads):
    """Return how many bytes a second are read from main memory."""
    x = np.ones(1 << 27)
    parts = np.array_split(x, 4 * threads)
    _sum(x[:8])
    with ThreadPoolExecutor(threads) as pool:
        times = [seconds_of(lambda: list(pool.map(_sum, parts))) for _ in range(6)]
    return x.nbytes / min(times)


def seconds_of(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def status(field):
    """Return a size in /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def extra_memory(call):
    """Return by how much resident memory grows at its highest during a call."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


# -- the sides -------------------------------------------------------------------------------------------


def numpy_form(loss, X, y, W, b):
    rows, n = np.arange(len(y)), len(y)

    def cross_entropy():
        S = X @ W
        S += b
        S -= S.max(axis=1, keepdims=True)
        target = S[rows, y]
        np.exp(S, out=S)
        total = S.sum(axis=1)
        value = float((np.log(total) - target).mean())
        S /= (n * total)[:, None]
        S[rows, y] -= W.dtype.type(1.0 / n)
        return value, X.T @ S, S.sum(axis=0)

    def margin():
        S = X @ W
        S += b
        S -= S[rows, y][:, None] - W.dtype.type(1.0)
        np.maximum(S, 0.0, out=S)
        S[rows, y] = 0.0
        if loss == "hinge":
            value = float(S.sum(dtype=np.float64)) / n
            S = (S > 0.0).astype(W.dtype)
        else:
            value = float(np.square(S).sum(dtype=np.float64)) / n
            S *= 2.0
        S /= n
        S[rows, y] = -S.sum(axis=1)
        return value, X.T @ S, S.sum(axis=0)

    return cross_entropy if loss == "cross_entropy" else margin


def sklearn_form(loss, X, y, W, b, threads):
    if loss != "cross_entropy":
        return None
    half = LinearModelLoss(HalfMultinomialLoss(n_classes=W.shape[1]), fit_intercept=True)
    coefficients = np.asfortranarray(np.vstack([W, b]).T)
    labels = y.astype(X.dtype)

    def pass_():
        value, gradient = half.loss_gradient(coefficients, X, labels, n_threads=threads)
        return value, gradient[:, :-1].T, gradient[:, -1]

    return pass_


def torch_form(loss, X, y, W, b, fused):
    functional = torch.nn.functional
    if fused and (loss != "cross_entropy" or not hasattr(functional, "linear_cross_entropy")):
        return None
    TX, ty = torch.from_numpy(X), torch.from_numpy(y)
    weights = torch.from_numpy(np.ascontiguousarray(W.T)).requires_grad_()
    bias = torch.from_numpy(b.copy()).requires_grad_()
    n_classes = W.shape[1]

    def value_of():
        if fused:
            return functional.linear_cross_entropy(TX, weights, ty, linear_bias=bias)
        scores = functional.linear(TX, weights, bias)
        if loss == "cross_entropy":
            return functional.cross_entropy(scores, ty)
        return n_classes * functional.multi_margin_loss(scores, ty, p=1 if loss == "hinge" else 2)

    def pass_():
        weights.grad = bias.grad = None
        value = value_of()
        value.backward()
        return float(value.detach()), weights.grad.T.numpy(), bias.grad.numpy()

    return pass_


def our_form(loss, X, y, W, b, threads):
    objective = sm.Objective(LOSSES[loss], X, y, 0.0, n_classes=W.shape[1], n_threads=threads)
    W, b = W.astype(np.float64), b.astype(np.float64)
    return lambda: objective.value_and_grad(W, b, single=True)


def problem(N, D, C, dtype):
    """Return X, y, W and b whose scores are of the order of 1."""
    random = np.random.default_rng(0)
    X = np.empty((N, D), dtype)
    for start in range(0, N, 4096):
        part = X[start : start + 4096]
        if dtype == "uint8":
            part[:] = random.integers(0, 256, part.shape, np.uint8)
        else:
            part[:] = random.standard_normal(part.shape, np.float32)
    y = np.concatenate([np.arange(C), random.integers(0, C, N - C)])
    size = 128.0 if dtype == "uint8" else 1.0
    W = random.standard_normal((D, C)) / (size * np.sqrt(D))
    return X, y, W, 0.1 * random.standard_normal(C)


def sides_of(N, D, C, dtype, loss, threads):
    X, y, W, b = problem(N, D, C, dtype)
    exact = np.dtype("float64" if dtype == "float64" else "float32")
    sides = {"softmargin": our_form(loss, X, y, W, b, threads)}
    XP, WP, bP = np.asarray(X, exact), W.astype(exact), b.astype(exact)
    sides["numpy"] = numpy_form(loss, XP, y, WP, bP)
    sides["sklearn"] = sklearn_form(loss, XP, y, WP, bP, threads)
    sides["torch"] = torch_form(loss, XP, y, WP, bP, fused=False)
    sides["torch-fused"] = torch_form(loss, XP, y, WP, bP, fused=True)
    sides["bare-products"] = bare_products(XP, WP)
    return X.nbytes, {name: side for name, side in sides.items() if side is not None}


def points_of(N, D, C, dtype, loss, threads):
    """Return the sides that evaluate several points: one reading of X for all, and one for each."""
    X, y, W, b = problem(N, D, C, dtype)
    objective = sm.Objective(LOSSES[loss], X, y, 0.0, n_classes=C, n_threads=threads)
    steps = 1.0 + 0.1 * np.arange(POINTS)
    all_W, all_b = steps[:, None, None] * W, steps[:, None] * b

    def at_once():
        return objective.values_and_grads(all_W, all_b, single=True)

    def one_by_one():
        found = [objective.value_and_grad(all_W[k], all_b[k], single=True) for k in range(POINTS)]
        return [np.array(part) for part in zip(*found, strict=True)]

    for got, true in zip(at_once(), one_by_one(), strict=True):
        if not np.array_equal(got, true):
            raise AssertionError("the points at once differ from each alone")
    return X.nbytes, {"softmargin": at_once, "one-by-one": one_by_one}


def bare_products(X, W):
    """Return the two products of a pass by BLAS over the whole matrices, with nothing between them."""
    scores = X @ W

    def products():
        np.matmul(X, W, out=scores)
        return X.T @ scores

    return products


def measure(sides, rounds, seconds, threads):
    """Return the median milliseconds of each side, which take turns; a short one is repeated within its turn."""
    with threadpool_limits(threads):
        if "one-by-one" not in sides:
            check({name: side() for name, side in sides.items() if name != "bare-products"})
        once = {name: min(seconds_of(side) for _ in range(3)) for name, side in sides.items()}
        repeats = {name: max(1, int(seconds / rounds / once[name])) for name in sides}
        times = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                time.sleep(0.1)  # threads of the side before may still be waiting in a loop
                for _ in range(min(repeats[name], 200)):
                    times[name].append(seconds_of(side))
    return {name: 1e3 * float(np.median(found)) for name, found in times.items()}


def check(answers):
    """Raise an error if a side computes something else."""
    value, dW, db = answers["softmargin"]
    for name, (other, dW_other, db_other) in answers.items():
        if abs(other - value) > 1e-3 * abs(value):
            raise AssertionError(f"{name}: the value is {other}, ours {value}")
        for ours, theirs in ((dW, dW_other), (db, db_other)):
            if np.abs(theirs - ours).max() > 2e-3 * max(np.abs(dW).max(), np.abs(db).max()):
                raise AssertionError(f"{name}: the gradient differs")


# -- a file larger than what we may keep in memory -------------------------------------------------------


def mapped(folder, n_rows, threads, rounds):
    """Return milliseconds a pass over a memory-mapped float16 file and over the same in memory, and our own MB."""
    N, D, C = n_rows, 3_072, 10
    with tempfile.TemporaryDirectory(dir=folder) as there:
        file = np.lib.format.open_memmap(Path(there) / "X.npy", mode="w+", dtype=np.float16, shape=(N, D))
        part = np.random.default_rng(0).standard_normal((4096, D), np.float32).astype(np.float16)
        for start in range(0, N, len(part)):
            file[start : start + len(part)] = part[: N - start]
        file.flush()
        del file
        y = np.arange(N) % C
        W, b = np.full((D, C), 1e-3), np.zeros(C)

        def passes(X):
            objective = sm.Objective(LOSSES["cross_entropy"], X, y, 0.0, n_classes=C, n_threads=threads)
            return lambda: objective.value_and_grad(W, b, single=True)

        X = np.load(Path(there) / "X.npy", mmap_mode="r")
        from_file = passes(X)
        first = seconds_of(from_file)
        own = [status("RssAnon")]
        with_file = [seconds_of(from_file) for _ in range(rounds)]
        own.append(status("RssAnon"))
        in_memory = passes(np.array(X))
        in_memory()
        times = {"mapped": with_file, "in memory": []}
        for _ in range(rounds):
            times["in memory"].append(seconds_of(in_memory))
            times["mapped"].append(seconds_of(from_file))
    medians = {name: 1e3 * float(np.median(found)) for name, found in times.items()}
    print(f"  first {first:.2f} s, then {medians}, own memory {max(own) / 1e6:.0f} MB", flush=True)
    return (N, D, C, "float16", "cross_entropy"), medians, max(own) / 1e6


# -- what comes out --------------------------------------------------------------------------------------


def blas_names():
    found = (info for info in threadpool_info() if info["user_api"] == "blas")
    return ", ".join(f"{info['internal_api']} {info['version']} {info.get('architecture', '')}" for info in found)


def this_run(options, rates, width):
    packages = ("numpy", "numba", "scikit-learn", "torch")
    kept = ("part", "rounds", "threads", "seconds")
    command = " ".join(
        f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in vars(options).items()
        if name in kept
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {options.threads} threads, {platform.system()}",
        "BLAS": blas_names(),
        "core type asked for": os.environ.get("OPENBLAS_CORETYPE", "none"),
        "float32 products": f"{rates['float32'] / 1e9:.0f} GFLOP/s",
        "float64 products": f"{rates['float64'] / 1e9:.0f} GFLOP/s",
        "reading": f"{width / 1e9:.1f} GB/s",
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages),
        "command": f"python benchmarks/engine.py {command}",
    }


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name} with {'AVX-512' if 'avx512f' in flags else 'AVX2' if 'avx2' in flags else 'no AVX2'}"


def merge(file, rows, part):
    """Put the rows of a part into the file in the place of those that were there; return all rows."""
    old = []
    if file.exists():
        with file.open(newline="") as lines:
            old = [row for row in csv.DictReader(lines) if row["part"] != part]
    rows = old + [{name: str(row[name]) for name in COLUMNS} for row in rows]
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def cases(rows):
    """Yield the key of each case and its rows by side, in order."""
    found = {}
    for row in rows:
        key = tuple(row[name] for name in ("part", "N", "D", "C", "dtype", "loss", "threads"))
        found.setdefault(key, {})[row["side"]] = row
    yield from found.items()


def write_tables(file, rows, runs):
    lines = ["# Cost of one pass", ""]
    lines += [
        "The time of value and gradient, in milliseconds. After our time: its ratio to the hardware limit and the",
        "extra memory in MB. After another program's time: its ratio to ours (bold if that program is faster) and",
        "its extra memory. Compare only figures of one run: the machine is shared, and so is its memory",
        "bandwidth. `benchmarks/engine.py` creates this file and describes the method. The machine and the",
        "command of each run are at the end.",
    ]
    part = None
    for key, sides in cases(rows):
        if key[0] != part:
            part = key[0]
            lines += ["", f"## {part} (run {next(iter(sides.values()))['run']})", ""]
            if part == "mapped":
                lines += ["| N | D | C | X | from the file | in memory | speed | own memory, MB |"]
                lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
            elif part in SHORT:
                lines += [f"| N | D | C | X | {SHORT[part]} |"]
                lines += ["| " + " | ".join(["---"] * (5 + SHORT[part].count("|"))) + " |"]
            else:
                names = " | ".join((*PEERS, "bare products"))
                lines += [f"| N | D | C | X | loss | limit | ours | of limit | MB | {names} |"]
                lines += ["| " + " | ".join(["---"] * (10 + len(PEERS))) + " |"]
        if part == "mapped":
            file_ms, memory_ms = (float(sides[name]["ms"]) for name in ("mapped", "in memory"))
            own = sides["mapped"]["extra_MB"]
            lines.append(
                f"| {' | '.join(key[1:5])} | {file_ms:.0f} | {memory_ms:.0f} | {memory_ms / file_ms:.2f} | {own} |"
            )
            continue
        ours = sides["softmargin"]
        ms, limit = float(ours["ms"]), float(ours["limit_ms"])
        if part == "points":
            other = float(sides["one-by-one"]["ms"])
            cells = (
                *key[1:5],
                f"{limit:.3g}",
                f"{ms:.3g}",
                f"{ms / limit:.2f}",
                f"{other:.3g}",
                f"{other / ms:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
            continue
        if part == "threads":
            cells = (*key[1:5], key[6], f"{limit:.3g}", f"{ms:.3g}", f"{ms / limit:.2f}")
            lines.append(f"| {' | '.join(cells)} |")
            continue
        cells = [*key[1:6], f"{limit:.3g}", f"{ms:.3g}", f"{ms / limit:.2f}", ours["extra_MB"]]
        for name in (*PEERS, "bare-products"):
            if name not in sides:
                cells.append("")
                continue
            other = float(sides[name]["ms"])
            text = f"{other:.3g} ({other / ms:.2f}, {sides[name]['extra_MB']} MB)"
            cells.append(f"**{text}**" if other < ms and name in PEERS else text)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Runs", ""]
    for number, run in sorted(runs.items(), key=lambda item: int(item[0])):
        if any(row["run"] == number for row in rows):
            lines.append(f"- run {number}: " + "; ".join(f"{name} {value}" for name, value in run.items()))
    file.write_text("\n".join(lines) + "\n")


def plot(out, rows):
    """Draw the ratio to the limit by the number of classes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "softmargin"
    from matplotlib import pyplot as plt

    curves = {}
    for key, sides in cases(rows):
        if key[0] == "by-classes" and key[5] == "cross_entropy":
            for name, row in sides.items():
                if name != "bare-products":
                    curves.setdefault(name, []).append((int(key[3]), float(row["ms"]) / float(row["limit_ms"])))
    if not curves:
        return
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="classes", ylabel="time of a pass / limit of the machine")
    axes.set_title("Cross-entropy, 512 features of float32")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "engine-by-classes.svg", metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long each side runs in all")
    parser.add_argument("--mapped", type=Path, help="folder for a temporary file")
    parser.add_argument("--mapped-rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if "ENGINE_CORE_TYPE_CHOSEN" not in os.environ:
        chosen = best_core_type(options.threads)
        environment = os.environ | {"ENGINE_CORE_TYPE_CHOSEN": "1"}
        if chosen is not None:
            environment["OPENBLAS_CORETYPE"] = chosen
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    torch.set_num_threads(options.threads)
    rates, width = limits_of(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    runs_file = options.out / "engine-runs.json"
    runs = json.loads(runs_file.read_text()) if runs_file.exists() else {}
    number = str(max(map(int, runs), default=0) + 1)
    runs[number] = this_run(options, rates, width)
    print("\n".join(f"{name}: {value}" for name, value in runs[number].items()), flush=True)

    def save(part, rows):
        runs_file.write_text(json.dumps(runs, indent=1) + "\n")
        everything = merge(options.out / "engine.csv", rows, part)
        write_tables(options.out / "engine.md", everything, runs)
        plot(options.out, everything)

    for part in options.part:
        rows = []
        numbers = range(1, options.threads + 1) if part == "threads" else [options.threads]
        for (N, D, C, dtype, loss), threads in product(PARTS[part], numbers):
            make = points_of if part == "points" else sides_of
            size, sides = make(N, D, C, dtype, loss, threads)
            if part == "threads":
                sides = {"softmargin": sides["softmargin"]}
            exact = "float64" if dtype == "float64" else "float32"
            n_points = POINTS if part == "points" else 1
            rates, width = limits_of(threads)
            limit = 1e3 * max(size / width, n_points * 4.0 * N * D * C / rates[exact])
            times = measure(sides, options.rounds, options.seconds, threads)
            for name, ms in times.items():
                with threadpool_limits(threads):
                    extra = extra_memory(sides[name]) / 1e6
                key = (part, N, D, C, dtype, loss, threads, name)
                rows.append(
                    dict(zip(COLUMNS, (*key, f"{ms:.4g}", f"{limit:.4g}", f"{extra:.0f}", number), strict=True))
                )
            ours = times["softmargin"]
            others = ", ".join(f"{name} {ms / ours:.2f}" for name, ms in times.items() if name != "softmargin")
            print(
                f"{part:13} {N:8} {D:6} {C:6} {dtype:8} {loss:14} {threads} threads, limit {limit:8.3g} ms, "
                f"ours {ours:8.3g} ms = {ours / limit:5.2f}; others/ours: {others}",
                flush=True,
            )
            del sides
        save(part, rows)
    if options.mapped:
        key, medians, own = mapped(options.mapped, options.mapped_rows, options.threads, options.rounds)
        values = (
            (*key, options.threads, name, f"{ms:.4g}", "", f"{own:.0f}", number) for name, ms in medians.items()
        )
        save("mapped", [dict(zip(COLUMNS, ("mapped", *row), strict=True)) for row in values])


if __name__ == "__main__":
    main()
