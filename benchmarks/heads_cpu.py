"""Time and peak memory of the losses as a last layer on the CPU, forward and backward.

    python benchmarks/heads_cpu.py [--rows N] [--features D] [--classes C] [--budget BYTES]
                                   [--threads N] [--runs N]

In float32. Each run is a process of its own, and the runs of all forms alternate. Shown are the least CPU seconds
of the runs, and the peak memory: the high-water mark of the process beyond its memory before the call, without the
gradients, which each form returns. The forms are

- ``fused``: softmargin.torch,
- ``unfused``: all scores, then the loss; ``multi_margin_loss`` is that of torch,
- ``torch``: `torch.nn.functional.linear_cross_entropy` with its chunks, of torch 2.13.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import softmargin as sm

FUSED = {
    "hinge": sm.torch.linear_hinge,
    "squared_hinge": sm.torch.linear_squared_hinge,
    "cross_entropy": sm.torch.linear_cross_entropy,
}
FORMS = {
    "hinge": ("fused", "unfused", "multi_margin_loss"),
    "squared_hinge": ("fused", "unfused", "multi_margin_loss"),
    "cross_entropy": ("fused", "unfused", "torch"),
}


def loss_of(name, form, x, weight, target, budget):
    """Return the mean loss."""
    if form == "fused":
        return FUSED[name](x, weight, target, budget=budget)
    if form == "torch":
        return F.linear_cross_entropy(x, weight, target, options=torch.nn.LinearCrossEntropyOptions())
    scores = F.linear(x, weight)
    if name == "cross_entropy":
        return F.cross_entropy(scores, target)
    power = 1 if name == "hinge" else 2
    if form == "multi_margin_loss":
        return len(weight) * F.multi_margin_loss(scores, target, p=power)
    violations = (scores - scores.gather(1, target[:, None]) + 1.0).clamp_min(0.0)
    violations = violations.scatter(1, target[:, None], 0.0)
    return (violations if power == 1 else violations.square()).sum(1).mean()


def resident():
    """Return the memory of the process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(name, form, options):
    """Return CPU seconds, bytes beyond inputs and gradients, and the loss, of one call in this process."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = torch.randn(options.rows, options.features, requires_grad=True)
    weight = torch.randn(options.classes, options.features).div_(options.features**0.5).requires_grad_()
    target = torch.randint(options.classes, (options.rows,))
    loss_of(name, form, x[:8], weight[:9], target[:8] % 9, options.budget).backward()
    x.grad = weight.grad = None
    before, start = resident(), time.process_time()
    loss = loss_of(name, form, x, weight, target, options.budget)
    loss.backward()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return seconds, peak - before - x.grad.nbytes - weight.grad.nbytes, loss.item()


def main():
    """Run all forms in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--classes", type=int, default=32000)
    parser.add_argument("--budget", type=int, default=64_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(*options.only, options)))
        return
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(options.runs):
        for name, forms in FORMS.items():
            for form in forms:
                command = [sys.executable, *sys.argv, "--only", name, form]
                run = subprocess.run(command, capture_output=True, text=True, check=True)
                found.setdefault((name, form), []).append(json.loads(run.stdout))
    sizes = f"N={options.rows}, D={options.features}, C={options.classes}"
    print(f"torch {torch.__version__}, {sizes}, {options.threads} threads, budget {options.budget / 1e6:.0f} MB")
    print("loss            form               CPU s   ratio  peak MB   ratio         loss")
    for (name, form), runs in found.items():
        seconds, peak = (min(run[k] for run in runs) for k in (0, 1))
        own_seconds, own_peak = (min(run[k] for run in found[name, "unfused"]) for k in (0, 1))
        print(
            f"{name:15} {form:17} {seconds:6.2f} {seconds / own_seconds:7.2f} {peak / 1e6:8.0f} "
            f"{peak / own_peak:7.2f} {runs[0][2]:12.6g}"
        )


if __name__ == "__main__":
    main()
