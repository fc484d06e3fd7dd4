"""A few of the moments of ``python -m tests.interruptions``."""

import random
import signal
from dataclasses import replace

import pytest

from tests.interruptions import SHAPES, fit, interruptions, kills, objective

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")


@pytest.mark.parametrize(
    ("shape", "loss"), [("bytes", "hinge"), ("bytes", "cross_entropy"), ("embeddings", "hinge")]
)
def test_ctrl_c_at_random_moments(shape, loss):
    _, wrong = interruptions(shape, loss, 4, random.Random(1))
    assert wrong == []


@pytest.mark.parametrize("shape", SHAPES)
def test_kills_at_random_moments(shape):
    same, left = kills(shape, "squared_hinge", 3, random.Random(2))
    assert same
    assert left == []


def test_progress_is_printed_every_ten_runs(monkeypatch, capsys):
    found = fit(objective("embeddings", "hinge"), callback=lambda _: True)
    found = replace(found, interrupted=True, status="Interrupted.")
    monkeypatch.setattr("tests.interruptions.interrupted", lambda *_: (found, 0.25))
    monkeypatch.setattr("tests.interruptions.fit", lambda *_: found)
    interruptions("embeddings", "hinge", 25, random.Random(0))
    expected = [f"embeddings, hinge: {n} of 25 interrupts, 0 wrong" for n in (10, 20)]
    assert capsys.readouterr().out.splitlines() == expected
