"""Invalid arguments of any size: one error of the package, with one short sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin.arguments import brief
from softmargin.errors import ParameterError, SoftmarginError
from tests.support.refusals import one_sentence, refused

BIG = np.zeros((100, 5))

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 3


def parameters(call: Callable[..., Any], *without: str) -> list[str]:
    """Return the names of the parameters of a function."""
    return [name for name in inspect.signature(call).parameters if name not in ("self", *without)]


def objective() -> sm.Objective:
    """Return a small problem."""
    return sm.Objective(sm.CrossEntropy(), X, Y, reg=0.1)


def compare(**given: Any) -> object:
    """Compare a loss with itself."""
    return sm.compare(**{"X": X, "y": Y, "losses": ["cross_entropy"], **given})


def minimize(**given: Any) -> object:
    """Minimize a small problem."""
    return sm.minimize(**{"objective": objective(), **given})


def path(**given: Any) -> object:
    """Fit two λ."""
    return sm.path(**{"objective": objective(), "regs": [1.0, 0.1], **given})


CALLS: list[tuple[Callable[..., Any], list[str]]] = [
    (lambda **given: sm.LinearClassifier(**{"loss": "hinge", **given}).fit(X, Y), parameters(sm.LinearClassifier)),
    (lambda **given: sm.LinearClassifierCV(**given).fit(X, Y), parameters(sm.LinearClassifierCV)),
    (
        lambda **given: sm.Objective(**{"loss": sm.Hinge(), "X": X, "y": Y, "reg": 1.0, **given}),
        parameters(sm.Objective, "X"),
    ),
    (lambda **given: sm.choose(**{"X": X, "y": Y, "losses": ["hinge"], **given}), parameters(sm.choose, "X")),
    (compare, parameters(sm.compare, "X")),
    (minimize, parameters(sm.minimize)),
    (path, parameters(sm.path)),
]


@pytest.mark.parametrize("big", [BIG, BIG.tolist(), 10**400, "x\n" * 1000], ids=["array", "list", "int", "text"])
@pytest.mark.parametrize(
    ("call", "name"),
    [pytest.param(call, name, id=f"{k}-{name}") for k, (call, names) in enumerate(CALLS) for name in names],
)
def test_any_parameter_with_a_big_value_gives_one_short_line(
    call: Callable[..., Any], name: str, big: object
) -> None:
    if isinstance(big, str) and name == "checkpoint":
        pytest.skip("a path is shown in full")
    with pytest.raises(SoftmarginError) as caught:
        call(**{name: big})
    assert len(one_sentence(caught.value)) <= 200


@pytest.mark.parametrize("losses", [None, 3.5, 0, [], "hinge", sm.Hinge()])
def test_losses_that_are_no_list(losses: Any) -> None:
    words = "losses must be a list of at least one loss, got"
    refused(lambda: sm.LinearClassifierCV(losses).fit(X, Y), words, error=ParameterError)
    refused(lambda: compare(losses=losses), words, error=ParameterError)


def test_losses_may_be_any_iterable() -> None:
    found = compare(losses=iter([sm.CrossEntropy()]), regs=[0.1], cv=2)
    assert isinstance(found, sm.Comparison)


@pytest.mark.parametrize("place", [3, None, BIG])
def test_paths_that_are_no_paths(place: Any) -> None:
    model = sm.LinearClassifier(reg=1.0).fit(X, Y).to_model(sm.data.Dataset(X, Y, name="points"))
    for call in (sm.load_model, model.save, model.export):
        refused(lambda call=call: call(place), "path must be a string or a path, got", error=ParameterError)


@pytest.mark.parametrize(
    "name", ["labels_file", "label_column", "columns", "n_features", "image_size", "image_channels"]
)
@pytest.mark.parametrize("big", [BIG, 10**400], ids=["array", "int"])
def test_any_option_of_a_reader_with_a_big_value_gives_one_short_line(name: str, big: Any, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    with pytest.raises(SoftmarginError) as caught:
        sm.load_dataset(tmp_path / "t.csv", **{name: big})
    assert len(one_sentence(caught.value).replace(str(tmp_path), "")) <= 200


def test_short_values_are_given_in_full_and_long_ones_on_one_line() -> None:
    assert [brief(value) for value in (1.5, "a\nb", None, [1, 2])] == ["1.5", r"'a\nb'", "None", "[1, 2]"]
    for value in (BIG, 10**400, [["x" * 1000] * 9] * 9, dict.fromkeys(range(9), BIG)):
        assert brief(value).isprintable()
        assert len(brief(value)) <= 80
