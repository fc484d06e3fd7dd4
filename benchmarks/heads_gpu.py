"""The losses as a last layer on a GPU: ceilings of the device, time, memory and errors; passed or failed.

    python benchmarks/heads_gpu.py [--device cuda|cpu] [--seconds S]

Prints what the device reaches in a copy and in products, then for each size, type and loss, forward and backward:

- milliseconds (the least of the runs), and the share of them that its three products (cross-entropy: four) would
  take at the measured rate,
- the same for the unfused form, where its scores fit,
- peak memory beyond inputs and gradients,
- errors of the loss and, relative in norm, of dX and dW against float64, from all scores of some rows at a time.

A check passes if its errors are below 1e-5 (loss, and float32) or 4 units of the type (dX, dW, db), and a second
call gives the same bits. The last line counts the checks. With ``--device cpu`` the sizes are small, the rate is
that of float32, and memory is not measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import softmargin as sm

LOSSES = {
    "hinge": sm.torch.linear_hinge,
    "squared_hinge": sm.torch.linear_squared_hinge,
    "cross_entropy": sm.torch.linear_cross_entropy,
}
SIZES = {
    "cuda": [(8192, 2304, 256_000), (4096, 1024, 1000), (252, 123, 507)],
    "cpu": [(256, 64, 2000), (252, 123, 507)],
}
"""Rows, features and classes."""

TYPES = (torch.bfloat16, torch.float16, torch.float32)
BUDGETS = {"cuda": 256_000_000, "cpu": 1_000_000}


class Layer(NamedTuple):
    """Inputs of a loss."""

    x: Tensor
    weight: Tensor
    target: Tensor
    bias: Tensor

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What has a gradient."""
        return self.x, self.weight, self.bias


def layer(size: tuple[int, int, int], dtype: torch.dtype, device: str) -> Layer:
    """Return normal rows and weights, with a score of about 3 and one in seven targets ignored."""
    torch.manual_seed(0)
    n, n_features, n_classes = size
    target = torch.randint(n_classes, (n,), device=device)
    target[::7] = -100
    x = torch.randn(n, n_features, device=device).to(dtype).requires_grad_()
    weight = (torch.randn(n_classes, n_features, device=device) * 3 / n_features**0.5).to(dtype).requires_grad_()
    return Layer(x, weight, target, torch.randn(n_classes, device=device).to(dtype).requires_grad_())


def fastest(call: Callable[[], object], device: str, seconds: float) -> float:
    """Return the least milliseconds of a call, of at least two."""
    best, start, n = float("inf"), time.perf_counter(), 0
    while n < 2 or (time.perf_counter() - start < seconds and n < 50):
        synchronize(device)
        before = time.perf_counter()
        call()
        synchronize(device)
        best, n = min(best, time.perf_counter() - before), n + 1
    return 1e3 * best


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def product_rate(dtype: torch.dtype, device: str, seconds: float) -> float:
    """Return floating-point operations per second of a square product with sums in float32."""
    n = 8192 if device == "cuda" else 512
    a = torch.randn(n, n, device=device).to(dtype)
    return 2e3 * n**3 / fastest(lambda: a @ a, device, seconds)


def exact(name: str, at: Layer) -> tuple[Tensor, ...]:
    """Return the mean loss and its gradients in float64, from all scores of some rows at a time."""
    parts = [part.detach().double().requires_grad_() for part in at.inputs]
    gradients = [torch.zeros_like(part) for part in parts]
    total, count = 0.0, int((at.target != -100).sum())
    step = max(1, 2**28 // len(at.weight) // 8)
    for start in range(0, len(at.x), step):
        rows = slice(start, start + step)
        scores = F.linear(parts[0][rows], *parts[1:])
        loss = losses_of(name, scores, at.target[rows]).sum() / count
        total += loss.item()
        for gradient, part in zip(gradients, torch.autograd.grad(loss, parts), strict=True):
            gradient += part
    return torch.tensor(total, dtype=torch.float64), *gradients


def losses_of(name: str, scores: Tensor, target: Tensor) -> Tensor:
    """Return the loss of each row from its scores."""
    if name == "cross_entropy":
        return F.cross_entropy(scores, target, reduction="none")
    y = target.clamp_min(0)[:, None]
    violations = (scores - scores.gather(1, y) + 1.0).clamp_min(0.0).scatter(1, y, 0.0)
    return (violations if name == "hinge" else violations.square()).sum(1) * (target != -100)


def run(call: Callable[[], Tensor], at: Layer) -> tuple[Tensor, ...]:
    """Return a loss and its gradients."""
    loss = call()
    return loss.detach(), *torch.autograd.grad(loss, at.inputs)


def check(
    name: str, size: tuple[int, int, int], dtype: torch.dtype, device: str, seconds: float, rate: float
) -> bool:
    """Print a row of the table; return whether the check passed."""
    at, budget = layer(size, dtype, device), BUDGETS[device]

    def fused() -> tuple[Tensor, ...]:
        return run(lambda: LOSSES[name](*at, budget=budget), at)

    def unfused() -> tuple[Tensor, ...]:
        valid = (at.target != -100).sum()
        return run(
            lambda: losses_of(name, F.linear(at.x, at.weight, at.bias).float(), at.target).sum() / valid, at
        )

    found, again = fused(), fused()
    same = all(map(torch.equal, found, again))
    del again
    expected = exact(name, at)
    errors = [float((a.double() - b.to(a.device)).norm() / b.norm()) for a, b in zip(found, expected, strict=True)]
    del expected
    memory = "-"
    if device == "cuda":
        torch.cuda.synchronize()
        del found
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        fused()
        gradients = sum(part.nbytes for part in at.inputs)
        memory = f"{(torch.cuda.max_memory_allocated() - before - gradients) / 1e6:.0f}"
    milliseconds = fastest(fused, device, seconds)
    n_products = 4 if name == "cross_entropy" else 3
    n, n_features, n_classes = size
    share = 2e3 * n_products * n * n_features * n_classes / rate / milliseconds
    fits = device == "cpu" or 16 * n * n_classes < 0.8 * torch.cuda.get_device_properties(0).total_memory
    other = f"{fastest(unfused, device, seconds):9.2f}" if fits else "        -"
    most = max(1e-5, 4 * torch.finfo(dtype).eps)
    passed = same and errors[0] <= 1e-5 and max(errors[1:]) <= most
    outcome = "passed" if passed else "FAILED"
    print(
        f"{n:6} {n_features:5} {n_classes:7} {str(dtype)[6:]:9} {name:14} {milliseconds:8.2f} {share:6.0%} "
        f"{other} {memory:>6} {errors[0]:7.0e} {errors[1]:7.0e} {errors[2]:7.0e} {outcome}",
        flush=True,
    )
    return passed


def main() -> None:
    """Measure and check everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=SIZES, default="cuda")
    parser.add_argument("--seconds", type=float, default=1.0, help="time of the runs of one row")
    options = parser.parse_args()
    device = options.device
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, budget {BUDGETS[device] / 1e6:.0f} MB")
    size = 2**30 if device == "cuda" else 2**24
    source, copy = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    copied = 2e-9 * size / fastest(lambda: copy.copy_(source), device, options.seconds)
    rates = {
        dtype: product_rate(dtype if device == "cuda" else torch.float32, device, options.seconds)
        for dtype in TYPES
    }
    shown = ", ".join(f"{str(dtype)[6:]} {rate / 1e12:.3g}" for dtype, rate in rates.items())
    print(f"copy {copied:.3g} TB/s; products in TFLOP/s: {shown}")
    print("     N     D       C type      loss                 ms  share   unfused     MB    loss      dX      dW")
    results = [
        check(loss, size, dtype, device, options.seconds, rates[dtype])
        for size in SIZES[device]
        for dtype in (TYPES if size[2] < 100_000 else TYPES[:1])
        for loss in LOSSES
    ]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")


if __name__ == "__main__":
    main()
