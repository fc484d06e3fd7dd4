"""Rounding errors against float64, within bounds that follow from the number of terms and the type.

With u = 2⁻²³ for sums in float32, h the rounding of results (2⁻⁹ bfloat16, 2⁻¹² float16, 2⁻²⁵ float32) and

    e = (D + 2) u Σ|x||w| of a score,

the loss of a row is off by at most 2 (C-1) e (hinge), 4 e √((C-1) L) + 4 (C-1) e² (squared hinge) or 2 e
(cross-entropy), plus C u times itself. A slope A_j is off by δ_j = 0, 4 e or (exp(t) - 1) A_j with
t = 2 e + 4 u (1 + |d_j| + L),
plus h A_j where it is stored in half precision. A hinge with |d + Δ| ≤ 2 e may have the other slope: the data keep
away from that. Then

    |dX| is off by h |dX| + Σ_j (δ_j + C u A_j) (|w_j| + |w_y|),   dW likewise with N u.
"""

from __future__ import annotations

import pytest
import torch

from softmargin.torch.blocks import evaluate
from softmargin.torch.layer import Setting
from tests.torch.heads import DELTA, IGNORE, LOSSES, doubled, problem, rows

U = 2.0**-23
HALF_UNITS = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
N, C, D = 160, 517, 24
"""256 blocks of classes are of two or three each."""


def slopes(loss, d, kept, losses):
    """Return A (N, C) of the rivals in float64."""
    if loss == "hinge":
        return kept * (d + DELTA > 0.0)
    return kept * (2.0 * (d + DELTA).clamp_min(0.0) if loss == "squared_hinge" else torch.exp(d - losses[:, None]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_blocks", [1, 16, 256])
@pytest.mark.parametrize(
    ("dtype", "stored"),
    [(dtype, stored) for dtype in HALF_UNITS for stored in dict.fromkeys((torch.float32, dtype))],
)
def test_errors_are_within_their_bounds(loss, dtype, n_blocks, stored):
    """If slopes are stored in half precision, they are rounded as for tensor cores; products are in float32."""
    at = problem((N, C, D), dtype, seed=3)
    exact = doubled(at)
    with torch.no_grad():
        x, W, b, y = exact.x, exact.weight, exact.bias, exact.target
        s = x @ W.T + b
        d = s - s.gather(1, y[:, None])
        rival = torch.ones_like(d).scatter(1, y[:, None], 0.0)
        e = (D + 2) * U * (x.abs() @ W.abs().T + b.abs())
        e = e + e.gather(1, y[:, None])  # of a difference
        losses = rows(loss, exact)
        if loss == "hinge":  # away from the kinks
            clear = (((d + DELTA).abs() > 2 * e) | (rival == 0.0)).all(1)
            y = torch.where(clear, y, IGNORE)
            at, exact = at._replace(target=y), exact._replace(target=y)
            losses = losses * clear
            rival = rival * clear[:, None]
            y = exact.target.clamp_min(0)
    total = rows(loss, exact).sum()
    dX, dW, db = torch.autograd.grad(total, exact.inputs)
    budget = 8 * (N + D) * -(-C // n_blocks) if n_blocks > 1 else 10**9
    setting = Setting(loss, DELTA, 0.0, IGNORE, False, budget, dtype)
    with torch.no_grad():
        found = evaluate(
            at.x, at.weight, at.target, at.bias, None, None, setting, (True, True, True),
            stored=stored,
        )  # fmt: skip
        A = slopes(loss, d, rival, losses)
        largest = (e * rival).amax(1)
        off = (
            {
                "hinge": (2 * e * (A > 0)).sum(1),
                "squared_hinge": 4 * largest * ((C - 1) * losses).sqrt() + 4 * (C - 1) * largest**2,
                "cross_entropy": 2 * largest,
            }[loss]
            + C * U * losses
            + 2 * U
        )
        assert found.losses.dtype == torch.float32
        assert bool(((found.losses - losses).abs() <= off).all())
        exponent = 2 * e + 2 * largest[:, None] + 4 * U * (1 + d.abs() + losses[:, None])
        delta = {
            "hinge": torch.zeros_like(A),
            "squared_hinge": 4 * e * rival,
            "cross_entropy": A * torch.expm1(exponent),
        }[loss]
        if stored != torch.float32 and loss != "hinge":
            delta = delta + (HALF_UNITS[dtype] * (A + delta) + 2.0**-24 * (dtype == torch.float16))
        of_x = delta + C * U * A
        h, tiny = HALF_UNITS[dtype], 2.0**-25 if dtype == torch.float16 else 1e-12
        bound = h * dX.abs() + of_x @ W.abs() + of_x.sum(1)[:, None] * W[y].abs()
        assert bool(((found.x.to(dtype).double() - dX).abs() <= bound * (1 + h) + tiny).all())
        of_w = delta + 2 * N * U * A
        own = torch.zeros_like(dW).index_add(0, y, of_w.sum(1)[:, None] * x.abs())
        bound = h * dW.abs() + of_w.T @ x.abs() + own
        assert found.weight.dtype in (dtype, torch.float32)
        assert bool(((found.weight.to(dtype).double() - dW).abs() <= bound * (1 + h) + tiny).all())
        bound = of_w.sum(0).index_add(0, y, of_w.sum(1))
        assert bool(((found.bias.double() - db).abs() <= bound + 1e-12).all())
