"""Models, reports and pages of the built-in digits, for every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import softmargin as sm
from softmargin.data import Dataset
from softmargin.model import Model
from softmargin.report import Report, fill_report, page, summary
from tests.support.browser import Browser


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return sm.load_dataset("digits")


@pytest.fixture(scope="module")
def models(digits: Dataset) -> dict[str, Model]:
    """Return a model of each loss, each with the record of a small search."""
    losses = [sm.CrossEntropy(), sm.Hinge(), sm.SquaredHinge()]
    choice = sm.choose(digits.X, digits.y, losses, [1e-1, 1e-2, 1e-3], scaling="none")
    found = {}
    for path in choice.paths:
        classifier = sm.LinearClassifier(path.loss, reg=path.chosen.reg, scaling="none").fit(digits.X, digits.y)
        found[path.loss.name] = classifier.to_model(digits, choice=choice)
    return found


@pytest.fixture(scope="module")
def reports(digits: Dataset, models: dict[str, Model]) -> dict[str, Report]:
    """Return a report of each loss on the test part, the other losses beside it."""
    found = {}
    for name, model in models.items():
        others = [other for key, other in models.items() if key != name]
        found[name] = fill_report(model, digits.test, digits, others, model_name="m.safetensors")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


@pytest.fixture(scope="module")
def pages(reports: dict[str, Report], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, report in reports.items():
        (folder / f"{name}.html").write_bytes(b"".join(page(report, summary(report))))
    return {name: folder / f"{name}.html" for name in reports}
