"""The learning pages on scores and losses: their numbers are exact."""

from __future__ import annotations

import re
import runpy
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin.statistics import mcnemar
from softmargin.textbook import svm_loss_naive
from tests.docs.parts import EXAMPLE_B, EXAMPLE_W, EXAMPLE_X, LEARN, value


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    found = {}
    for name in ("scores", "svm", "exchange", "softmax", "losses"):
        for key, number in runpy.run_path(str(LEARN / "numbers" / f"{name}.py"))["numbers"]().items():
            found[f"{name}.{key}"] = number
    return found


EXACT = {
    "svm.example": 8, "svm.zero_10": 9, "softmax.zero_10": np.log(10),
    "losses.hinge0": 0, "losses.hinge1": 0, "losses.hinge2": 0,
    "losses.entropy0": 9.18e-4, "losses.entropy1": 0.5514, "losses.entropy2": 3.4e-48,
    "softmax.p0": 0.705, "softmax.p1": 0.035, "softmax.p2": 0.259,
    "softmax.half0": 0.55, "softmax.half1": 0.12, "softmax.half2": 0.33,
    "svm.plane_data": 0.64, "svm.plane_penalty": 1.925, "svm.plane": 2.57, "softmax.example": 1.04,
    "softmax.example_hinge": 1.58,
}  # fmt: skip
"""What the pages must state, in the digits of the design."""


@pytest.mark.parametrize("key", EXACT)
def test_values_of_the_design_are_on_the_pages(key, numbers):
    assert numbers[key] == pytest.approx(EXACT[key], rel=0.02)
    pages = "".join(page.read_text("utf-8") for page in sorted(LEARN.glob("0*.md")))
    assert re.search(rf"\{{n\}}`{re.escape(key)}[:`]", pages)


def test_every_number_of_the_files_is_used(numbers):
    pages = "".join(path.read_text("utf-8") for path in LEARN.glob("*.md"))
    assert {key for key in numbers if not re.search(rf"\{{n\}}`{re.escape(key)}[:`]", pages)} == set()


def test_numbers_by_another_way(numbers):
    scores = EXAMPLE_W @ EXAMPLE_X + EXAMPLE_B
    assert [round(numbers[f"scores.s{c}"], 2) for c in range(3)] == [-2.85, 0.86, 0.28]
    hinge = svm_loss_naive(EXAMPLE_W.T, EXAMPLE_X[None], [2], 0.0, b=EXAMPLE_B)
    assert hinge == pytest.approx(1.58)
    assert value(sm.Hinge(), scores, 2) == pytest.approx(hinge)
    assert numbers["losses.lead"] == pytest.approx(np.log(2 / (np.exp(0.01) - 1)), rel=1e-10)
    assert numbers["exchange.digits_differ"] == 0
    assert numbers["exchange.digits_size"] == pytest.approx(10, rel=1e-3)
    assert numbers["softmax.lead_naive"] == 0
    assert mcnemar(1, numbers["losses.needed"]) < 0.05 <= mcnemar(1, numbers["losses.needed"] - 1)
