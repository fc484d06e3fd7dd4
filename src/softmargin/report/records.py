"""The finished record of a report: plain data, filled by `report.fill` and drawn by everything else.

A panel without data (no pictures, no path, no other model) is None and is left out. Samples are stored once, in
``Report.samples``; panels refer to them by their index in that list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softmargin.notebook import table
from softmargin.report import panels
from softmargin.text import to_json

__all__ = [
    "Baseline", "Certificate", "ComparedFeatures", "Convergence", "Curve", "Headline", "Origin", "PathPanel",
    "Report",
]  # fmt: skip

_FORMAT, _VERSION = "softmargin report", 1
"""Of the JSON form; the version increases when a name is removed or changes its meaning."""


@dataclass(frozen=True)
class Baseline:
    """Accuracy of a simple rule on the same samples."""

    name: str
    share: panels.Share


@dataclass(frozen=True)
class Headline:
    """How good the model is.

    Attributes
    ----------
    accuracy : Share
    recalls : tuple of Share
        One per class, in the order of ``Report.classes``.
    baselines : tuple of Baseline
    training_accuracy : float or None
        Known only if the training data are available.
    on_training : bool
        Whether the evaluated samples are the training data.
    n_unknown : int
        Samples with unknown labels: they count as errors, and are not in any other panel.
    loss : str
    delta : float or None
    reg : float
    mean_loss : float
        On the samples of this report.
    data_loss, penalty : float
        The two parts of F at the solution, on the training data.
    answers : tuple of (heading, text)
        The main results in sentences.
    warnings : tuple of str
        Reasons why the results may mislead.
    """

    accuracy: panels.Share
    recalls: tuple[panels.Share, ...]
    baselines: tuple[Baseline, ...]
    training_accuracy: float | None
    on_training: bool
    n_unknown: int
    loss: str
    delta: float | None
    reg: float
    mean_loss: float
    data_loss: float
    penalty: float
    answers: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """The certificate of the fit, in numbers and in sentences."""

    value: float
    lower_bound: float
    gap: float
    tol: float
    converged: bool
    n_passes: int
    seconds: float
    words: str


@dataclass(frozen=True)
class Origin:
    """The evaluated data, the training data, and the commands that reproduce the report."""

    model: str
    data: str
    n_samples: int
    n_features: int
    fingerprint: str
    trained_on: str
    n_training: int
    training_fingerprint: str
    scaling: str
    fitted: str
    commands: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class Curve:
    """One loss along its path of λ; all lists are as long as ``reg``.

    ``low`` and ``high`` are the validation accuracy minus and plus one standard error: over the folds, or Wilson's
    for a single split. ``penalty`` is λΣW².
    """

    loss: str
    reg: tuple[float, ...]
    training_accuracy: tuple[float, ...]
    validation_accuracy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    training_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    penalty: tuple[float, ...]
    best: int
    one_se: int | None
    warning: str


@dataclass(frozen=True)
class ComparedFeatures:
    """One of the feature sets that were compared on the same folds, with its best loss at its best λ."""

    name: str
    n_features: int
    loss: str
    reg: float
    accuracy: float
    standard_error: float
    selected: bool


@dataclass(frozen=True)
class PathPanel:
    """Model selection: how features, loss and λ were selected.

    ``features`` is empty unless several feature sets were compared; ``feature_tests`` are sentences, one per
    test of the selected features against others. The curves are those of the selected features.
    """

    curves: tuple[Curve, ...]
    loss: str
    reg: float
    words: str
    features: tuple[ComparedFeatures, ...] = ()
    feature_tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Convergence:
    """Value, best lower bound, its gap and the gap estimated by the solver, by pass; None if unknown."""

    n_passes: tuple[float, ...]
    seconds: tuple[float, ...]
    value: tuple[float | None, ...]
    lower_bound: tuple[float | None, ...]
    gap: tuple[float | None, ...]
    estimate: tuple[float | None, ...]


@dataclass(frozen=True)
class Report:
    """The content of a report. `record` is its JSON form."""

    title: str
    created: str
    classes: tuple[str, ...]
    headline: Headline
    certificate: Certificate
    origin: Origin
    path: PathPanel | None
    convergence: Convergence | None
    comparison: panels.ModelComparison | None
    weights: panels.WeightsPanel
    margins: panels.Margins
    worst: tuple[int, ...]
    confusion: panels.Confusion
    calibration: panels.Calibration
    data_errors: panels.DataErrors
    samples: tuple[panels.Sample, ...]
    sheet: panels.Sheet | None

    def _repr_html_(self) -> str:
        """Return the warnings and the main results as a table for notebooks."""
        rows = [("warning", words) for words in self.headline.warnings]
        return table(self.title, rows + list(self.headline.answers))

    def record(self) -> dict[str, Any]:
        """Return the report as JSON values, with its format and version; numbers that are not finite are None."""
        return {"format": _FORMAT, "version": _VERSION, **to_json(self, lambda number: None)}
