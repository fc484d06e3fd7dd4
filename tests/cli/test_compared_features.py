"""What the command line prints about several feature sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin.cli import wording
from softmargin.cli.job import Job, Task
from softmargin.data import Dataset
from softmargin.samples import Labelled
from softmargin.selection import FeatureComparison, choose_features

NAMES = ("pixels", "models/efficientnet-lite0.onnx", "models/efficientnet-lite4.onnx")


@pytest.fixture(scope="module")
def sets() -> dict[str, Labelled]:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    pictures = rng.normal(size=(3, 5))[y] + 2.0 * rng.normal(size=(120, 5))
    return {name: Labelled.check(pictures[:, k:], y, keys=pictures) for k, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def found(sets) -> FeatureComparison:
    return choose_features(sets, ["cross_entropy", "squared_hinge"], [0.1, 0.01])


def accuracies_of(found: FeatureComparison) -> dict[str, dict[str, float]]:
    return {
        name: dict.fromkeys(one.accuracies, 0.1234) for name, one in zip(NAMES, found.choice.sets, strict=True)
    }


def test_a_row_per_features_and_loss(found, capsys):
    wording.print_features(found, accuracies_of(found))
    heading, *rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert heading.split() == ["features", "loss", "reg", "held-out", "test", "passes", "seconds"]
    expected = []
    for name, comparison in found.comparisons.items():
        for path in comparison.paths:
            point = path.chosen
            error = f"±{point.standard_error:.4f}"
            n_passes = sum(p.n_passes for p in path.points)
            held_out = f"{point.validation_accuracy:.4f}"
            expected.append([name, path.loss.name, f"{point.reg:.3g}", held_out, error, "0.1234", str(n_passes)])
    assert [row.split()[:-1] for row in rows] == expected
    wording.print_features(found, {name: {} for name in NAMES})
    assert "test" not in capsys.readouterr().out.splitlines()[0]


def test_the_text_ends_with_the_sentences(found, capsys):
    wording.print_features(found)
    lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert lines[0].startswith("All 12 fits on one split converged (gap ≤ 1e-3, ")
    assert lines[1:] == found.comparison.sentences()


def test_long_names_keep_their_ends_and_fit_in_80_columns(found, capsys, monkeypatch: Any):
    monkeypatch.setattr(wording, "is_terminal", lambda stream: True)
    monkeypatch.setattr(wording, "_columns", lambda: 80)
    wording.print_features(found, accuracies_of(found))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines[1:7]]
    assert names[:2] == ["pixels"] * 2
    assert len(set(names)) == 3
    assert all(name.startswith("…") and name.endswith("net-lite0.onnx") for name in names[2:4])


def job(**changes: Any) -> Job:
    options = {"data": "d", "names": (), "delta": None, "folds": None, "scaling": "none", "normalize_rows": False}
    return Job(**options | {"specs": (), "pool": None, "image_size": None, "threads": 1} | changes)


def tasks(sets: dict[str, Labelled]) -> dict[str, Task]:
    """Return the sets as the command line reads them."""
    return {name: Task(Dataset(one.X, one.labels, name), one) for name, one in sets.items()}


def test_a_job_searches_among_features(sets, found):
    seen: list[str] = []
    losses = [sm.CrossEntropy(), sm.SquaredHinge()]
    quick = job(quick=True, regs=(0.1, 0.01)).search_features(
        tasks(sets), losses, lambda what, *_: seen.append(what)
    )
    assert repr(quick.choice.tests) == repr(found.choice.tests)
    assert seen[0].startswith("pixels: cross_entropy, reg 0.1: pass ")
    assert seen[-1].startswith("models/efficientnet-lite4.onnx: squared_hinge, reg 0.01: pass ")
    folds = job(folds=4, scaling="standard", reg=0.1, rule="one_se").search_features(
        tasks(sets), losses, lambda *_: None
    )
    assert len(folds.comparison.folds) == 4
    assert folds.comparison.rule == "one_se"


def test_fewer_folds_are_noted(capsys):
    few = Labelled.check(np.arange(8.0).reshape(4, 2) ** 2, [0, 1, 0, 1])
    job(reg=0.1).search_features(tasks({"a": few, "b": few}), [sm.CrossEntropy()], lambda *_: None)
    assert capsys.readouterr().err == "Note: only 4 folds are used, since there are too few samples for 5.\n"
