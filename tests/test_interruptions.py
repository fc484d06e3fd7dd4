"""A few of the moments of ``python -m tests.interruptions``."""

import random
import signal

import pytest

from tests.interruptions import SHAPES, interruptions, kills

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")


@pytest.mark.parametrize(
    ("shape", "loss"), [("bytes", "hinge"), ("bytes", "cross_entropy"), ("embeddings", "hinge")]
)
def test_ctrl_c_at_random_moments(shape, loss):
    _, wrong = interruptions(shape, loss, 4, random.Random(1))
    assert wrong == []


@pytest.mark.parametrize("shape", SHAPES)
def test_kills_at_random_moments(shape):
    same, litter = kills(shape, "squared_hinge", 3, random.Random(2))
    assert same
    assert litter == []
