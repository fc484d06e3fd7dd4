"""Relative errors of the losses against float64: fused, unfused, and the fused cross-entropy of PyTorch.

    python benchmarks/heads_errors.py [--rows N] [--features D] [--classes C]

The errors are those of the mean loss, and of dX and dW in norm. For ``fused`` the parts are blocks of classes; for
``torch`` (`torch.nn.functional.linear_cross_entropy`) chunks of rows.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

import softmargin as sm

FUSED = {
    "hinge": sm.torch.linear_hinge,
    "squared_hinge": sm.torch.linear_squared_hinge,
    "cross_entropy": sm.torch.linear_cross_entropy,
}
PARTS = (1, 16, 256)


def unfused(name: str, x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return the mean loss from all scores."""
    scores = F.linear(x, weight)
    if name == "cross_entropy":
        return F.cross_entropy(scores, target)
    violations = (scores - scores.gather(1, target[:, None]) + 1.0).clamp_min(0.0)
    violations = violations.scatter(1, target[:, None], 0.0)
    return (violations if name == "hinge" else violations.square()).sum(1).mean()


def row(loss: Tensor, inputs: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> str:
    """Return the errors of a loss and of its gradients as text."""
    found = (loss.detach(), *torch.autograd.grad(loss, inputs))
    errors = (float((a.double() - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))
    return " ".join(f"{error:8.0e}" for error in errors)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--classes", type=int, default=1024)
    options = parser.parse_args()
    torch.manual_seed(0)
    normal = torch.randn(options.rows, options.features)
    weights = 3 * torch.randn(options.classes, options.features) / options.features**0.5
    target = torch.randint(options.classes, (options.rows,))
    print("loss           type      form     parts     loss       dX       dW")
    for name, fused in FUSED.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            x, weight = normal.to(dtype).requires_grad_(), weights.to(dtype).requires_grad_()
            exact = [part.detach().double().requires_grad_() for part in (x, weight)]
            loss = unfused(name, *exact, target)
            expected = (loss.detach(), *torch.autograd.grad(loss, exact))

            forms = [("unfused", 1, unfused(name, x, weight, target))]
            for parts in PARTS:
                budget = 8 * (options.rows + options.features) * -(-options.classes // parts)
                loss = fused(x, weight, target, budget=budget if parts > 1 else 10**9)
                forms.append(("fused", parts, loss))
            for parts in PARTS if name == "cross_entropy" else ():
                chunked = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=options.rows // parts)
                forms.append(("torch", parts, F.linear_cross_entropy(x, weight, target, options=chunked)))
            for form, parts, loss in forms:
                print(f"{name:14} {str(dtype)[6:]:9} {form:8} {parts:5} {row(loss, (x, weight), expected)}")


if __name__ == "__main__":
    main()
