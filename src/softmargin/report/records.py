"""The finished record of a report: plain data, filled by `report.fill` and drawn by everything else.

A panel that cannot be filled (no pictures, no path, no other model) is None and is left out. Samples are kept
once, in ``Report.samples``; panels name them by their number in that list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softmargin.report.panels import (
    Calibration,
    Confusion,
    DataErrors,
    Margins,
    ModelComparison,
    Sample,
    Share,
    Sheet,
    WeightsPanel,
)  # fmt: skip
from softmargin.text import to_json

__all__ = [
    "FORMAT",
    "VERSION",
    "Baseline",
    "Certificate",
    "Convergence",
    "Curve",
    "Headline",
    "Origin",
    "PathPanel",
    "Report",
]  # fmt: skip

FORMAT = "softmargin report"
VERSION = 1
"""Of the JSON form: raised when a name changes its meaning or goes, not when one is added."""


@dataclass(frozen=True)
class Baseline:
    """What a rule that needs no training achieves on the same samples."""

    name: str
    words: str
    share: Share


@dataclass(frozen=True)
class Headline:
    """How good the model is.

    Attributes
    ----------
    accuracy : Share
    recalls : tuple of Share
        One a class, in the order of ``Report.classes``.
    baselines : tuple of Baseline
    training_accuracy : float or None
        Known only where the training data are at hand.
    on_training : bool
        Whether the samples judged are those that the model was trained on: then nothing here is about new ones.
    n_unknown : int
        Samples whose label is no class of the model: they count as wrong, and are in no other panel.
    loss, loss_title : str
    delta : float or None
    reg : float
    mean_loss : float
        On the samples of this report.
    data_loss, penalty : float
        The two parts of F at the solution, on the training data.
    words : tuple of str
        The same in sentences.
    answers : tuple of (question, answer)
        What a person wants to know first.
    warnings : tuple of str
        What a reader must know before believing anything.
    """

    accuracy: Share
    recalls: tuple[Share, ...]
    baselines: tuple[Baseline, ...]
    training_accuracy: float | None
    on_training: bool
    n_unknown: int
    loss: str
    loss_title: str
    delta: float | None
    reg: float
    mean_loss: float
    data_loss: float
    penalty: float
    words: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Certificate:
    """What is proved about the fit, in numbers and in a sentence."""

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
    """What was judged, what it was trained on and how to do it again."""

    model: str
    data: str
    n_samples: int
    n_features: int
    image_shape: tuple[int, int, int] | None
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
    """One loss along its path of λ. Lists are as long as ``reg``; what was not kept is an empty list.

    ``low`` and ``high`` are the validation accuracy less and plus one standard error: over folds where there were
    folds, else Wilson's. ``penalty`` is λΣW².
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
class PathPanel:
    """How λ and the loss were chosen."""

    curves: tuple[Curve, ...]
    loss: str
    reg: float
    words: str


@dataclass(frozen=True)
class Convergence:
    """Value, best proved bound, its gap and the gap that the solver expected, by pass; None where not known."""

    n_passes: tuple[float, ...]
    seconds: tuple[float, ...]
    value: tuple[float | None, ...]
    lower_bound: tuple[float | None, ...]
    gap: tuple[float | None, ...]
    estimate: tuple[float | None, ...]


@dataclass(frozen=True)
class Report:
    """Everything that a report says. `record` is its JSON form."""

    title: str
    created: str
    classes: tuple[str, ...]
    headline: Headline
    certificate: Certificate
    origin: Origin
    path: PathPanel | None
    convergence: Convergence | None
    rivals: ModelComparison | None
    looks: WeightsPanel
    margins: Margins
    worst: tuple[int, ...]
    confusion: Confusion
    calibration: Calibration
    suspects: DataErrors
    samples: tuple[Sample, ...]
    sheet: Sheet | None

    def record(self) -> dict[str, Any]:
        """Return the report as JSON values, with its format and version; numbers that are not finite are None."""
        return {"format": FORMAT, "version": VERSION, **to_json(self, lambda number: None)}
