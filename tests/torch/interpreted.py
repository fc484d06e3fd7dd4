"""Run the Triton kernels in Triton's interpreter against the functions of `tiles`: a program, run by a test.

The interpreter is chosen when the kernels are imported, so it needs a process of its own.
"""

from __future__ import annotations

import itertools
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch

from softmargin.torch import kernels, tiles
from softmargin.torch.blocks import evaluate
from softmargin.torch.layer import Setting
from tests.torch.heads import DELTA, IGNORE, problem

HALVES = (torch.bfloat16, torch.float16)
kernels.STEP = 16  # several steps in a row, the last one partial
# The interpreter rounds to bfloat16 by dropping digits, so up to two units differ. It has no product of that type.


def tile(dtype: torch.dtype, *, bias: bool, seed: int) -> tuple[torch.Tensor, ...]:
    """Return the arguments of a function of `tiles`; targets lie on both sides of the tile, too."""
    generator = torch.Generator().manual_seed(seed)
    scores, offset, biases = (3 * torch.randn(size, generator=generator, dtype=dtype) for size in ((9, 37), 9, 37))
    target = torch.randint(-30, 60, (9,), generator=generator)
    target[:4] = torch.tensor([0, 36, 37, -1])
    scores[5] -= 200.0  # no rival is near
    scores[6] += 20.0
    return scores, offset, biases if bias else None, target


def close(ours: torch.Tensor | None, theirs: torch.Tensor | None, digits: float) -> None:
    if theirs is None:
        assert ours is None
        return
    assert ours is not None
    assert ours.dtype == theirs.dtype
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=digits, atol=1e-30 * scale)


def check_tiles() -> None:
    for sums, bias in itertools.product((torch.float32, torch.float64), (True, False)):
        digits = 64 * torch.finfo(sums).eps  # sums of 37 terms in another order, and exp of d up to 40
        arguments = tile(sums, bias=bias, seed=int(bias))
        types = (sums, *HALVES) if sums == torch.float32 else (sums,)
        normal = torch.linspace(0.0, 40.0, 9, dtype=sums), torch.linspace(2.0**-12, 1.0, 9, dtype=sums)
        for name, dtype in itertools.product(tiles.EPILOGUES, types):
            given = (*arguments, dtype, *(normal if name == "cross_entropy" else ()))
            ours = kernels.EPILOGUES[name](given[0].clone(), *given[1:])
            theirs = tiles.EPILOGUES[name](given[0].clone(), *given[1:])
            for found, expected in zip(ours, theirs, strict=True):
                close(found, expected, digits if dtype == sums else 2 * torch.finfo(dtype).eps)
        for keep in (True, False):
            own, reference = arguments[0].clone(), arguments[0].clone()
            for found, expected in zip(
                kernels.exponential_sums(own, *arguments[1:], keep),
                tiles.exponential_sums(reference, *arguments[1:], keep),
                strict=True,
            ):
                close(found, expected, 4 * digits)
            if keep:
                close(own, reference, 16 * digits)


def check_not_a_number() -> None:
    """A comparison with a score that is not a number is false, which must not make the loss 0."""
    for module in (kernels, tiles):
        for name in tiles.EPILOGUES:
            scores, *rest = tile(torch.float32, bias=True, seed=0)
            scores[0, 5] = torch.nan
            if name == "cross_entropy":
                [_, found] = module.exponential_sums(scores, *rest, False)
            else:
                found = module.EPILOGUES[name](scores, *rest, torch.float32)[1]
            assert found.isnan().tolist() == [True] + [False] * 8


def check_losses() -> None:
    """The whole algorithm with the kernels, in each type of operands, as it would run on a GPU."""
    for loss, (dtype, stored), budget in itertools.product(
        tiles.EPILOGUES,
        [(torch.float64, torch.float64), (torch.float32, torch.float32), *zip(HALVES, HALVES, strict=True)],
        (10**9, 2500),
    ):
        at = problem((9, 37, 5), dtype, weights=budget > 10**8, ignored=True)
        smoothing = 0.1 if loss == "cross_entropy" else 0.0
        setting = Setting(loss, DELTA, smoothing, IGNORE, True, budget, dtype)
        layer = (at.x, at.weight, at.target, at.bias, at.class_weight, None, setting, (True, True, True))
        with torch.no_grad():
            ours = evaluate(*layer, stored=stored, epilogues=kernels)
            theirs = evaluate(*layer, stored=stored, epilogues=tiles)
        digits = 16 * torch.finfo(dtype).eps
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(
                found.double(), expected.double(), rtol=0, atol=digits * float(expected.abs().max())
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    check_tiles()
    check_not_a_number()
    check_losses()
    print("passed")
