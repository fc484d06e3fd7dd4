"""The finished record of a report: plain data, filled by `report.fill` and drawn by everything else.

A panel that cannot be filled (no pictures, no path, no rivals) is None, and whoever draws leaves it out. Samples
are kept once, in ``Report.samples``; panels name them by their number in that list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

__all__ = [
    "FORMAT", "VERSION", "Baseline", "Bin", "Calibration", "Certificate", "Confusion", "Convergence", "Curve",
    "Disagreement", "Duplicate", "FeatureWeight", "Headline", "Looks", "Margins", "Origin", "PairTest",
    "PathPanel", "Pixels", "Reliability", "Report", "Rival", "Rivals", "Sample", "Share", "Sheet", "Suspect",
    "Suspects", "Term", "percent", "short",
]  # fmt: skip

FORMAT = "softmargin report"
VERSION = 1
"""Of the JSON form: raised when a name changes its meaning or goes, not when one is added."""


@dataclass(frozen=True)
class Share:
    """How many of how many, and Wilson's interval of 95 % around their ratio.

    All None where there are none; only the interval is None on the data that the model was trained on, where it
    would tell nothing of new samples.
    """

    n_right: int
    n: int
    value: float | None
    low: float | None
    high: float | None


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
class Term:
    """What one class adds to the loss of a sample.

    For the hinges ``value`` is max(0, s_j - s_y + Δ), or its square; for cross-entropy it is the probability of
    the class, and the loss is minus the logarithm of the true one's.
    """

    label: int
    score: float
    value: float


@dataclass(frozen=True)
class Sample:
    """One sample that some panel shows.

    Attributes
    ----------
    row : int
        Its row in the data, from 0.
    name : str
        Its file, or its row.
    label, predicted : int
        Numbers of classes.
    loss, margin : float
        The margin is s_y less the largest score of another class.
    terms : tuple of Term
        Of the largest scores, and always of the true class.
    n_rest : int
    rest : float
        How many terms are left out, and their sum.
    picture : int or None
        Number of its picture on the sheet.
    """

    row: int
    name: str
    label: int
    predicted: int
    loss: float
    margin: float
    terms: tuple[Term, ...]
    n_rest: int
    rest: float
    picture: int | None


@dataclass(frozen=True)
class Sheet:
    """Pictures of one size side by side, left to right and then down, as one ``data:`` URI."""

    uri: str
    height: int
    width: int
    columns: int
    n: int


@dataclass(frozen=True)
class Pixels:
    """For one sample: what each place of the picture adds to two scores; float32, little-endian, base64.

    ``own`` is x·W of the true class summed over channels (and over the pixels of a place, where pictures are
    larger than the map), ``rival`` that of the strongest other class. With the bias of the class each sums to its
    score.
    """

    sample: int
    rival: int
    own: str
    other: str


@dataclass(frozen=True)
class FeatureWeight:
    """A feature that speaks for a class or against it.

    ``weight`` is that of the feature as it comes, less the mean over classes; ``effect`` is ``weight`` times the
    standard deviation of the feature on the samples judged, which makes features of different units comparable.
    """

    feature: str
    weight: float
    effect: float


@dataclass(frozen=True)
class Looks:
    """What each class looks at.

    Attributes
    ----------
    height, width, channels : int or None
        Of the weights as pictures; None for features that are no pictures.
    weights : str
        float32, little-endian, base64: one picture after the other. "" without pictures.
    reduced : bool
        Whether pixels were averaged to make them smaller.
    norms : tuple of float
        ‖w‖ of each class, on preprocessed features less the mean over classes.
    biases : tuple of float
    sizes : tuple of int
        Samples of each class: of the training data if at hand, else of the data judged.
    sizes_of : str
    shown : tuple of int
        Classes of ``cosines``.
    cosines : tuple of tuple of float
        Between the weights of classes, less the mean over classes.
    top : tuple of tuple of int
        The samples with the largest score of each class.
    features : tuple of tuple of FeatureWeight
        Of each class those of largest effect, from the most positive down to the most negative. Empty for
        images and where there are too many features.
    map_height, map_width : int
    pixels : tuple of Pixels
    along_reg : tuple of float
    along : tuple of str
        Pictures as ``weights`` for other λ, each of a fit to the training data. Empty if there are none.
    """

    height: int | None
    width: int | None
    channels: int | None
    weights: str
    reduced: bool
    norms: tuple[float, ...]
    biases: tuple[float, ...]
    sizes: tuple[int, ...]
    sizes_of: str
    shown: tuple[int, ...]
    cosines: tuple[tuple[float, ...], ...]
    top: tuple[tuple[int, ...], ...]
    features: tuple[tuple[FeatureWeight, ...], ...]
    map_height: int
    map_width: int
    pixels: tuple[Pixels, ...]
    along_reg: tuple[float, ...]
    along: tuple[str, ...]


@dataclass(frozen=True)
class Margins:
    """Margins s_y - max_{j≠y} s_j: samples of each class between two edges; the ends take all beyond."""

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    delta: float | None
    inside: tuple[float | None, ...]
    wrong: tuple[float | None, ...]
    all_inside: float
    all_wrong: float


@dataclass(frozen=True)
class Confusion:
    """What is taken for what.

    Attributes
    ----------
    shown : tuple of int
        Classes of the matrix: all, or those with most errors.
    counts : tuple of tuple of int
        Rows are true, columns predicted, both in the order of ``shown``.
    orders : dict of str to tuple of int
        Ways to sort: places in ``shown``.
    pairs : tuple of (true, predicted, times, times the other way round)
        Numbers of classes, most frequent first.
    cells : dict of str to tuple of int
        "true,predicted": samples of that cell, worst first.
    """

    shown: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    orders: dict[str, tuple[int, ...]]
    pairs: tuple[tuple[int, int, int, int], ...]
    cells: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Bin:
    """Samples of like confidence: how many, their mean confidence and the share that is right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How far confidence can be taken at its word; the expected calibration error and the mean of -ln p_y."""

    bins: tuple[Bin, ...]
    ece: float
    mean_loss: float


@dataclass(frozen=True)
class Calibration:
    """Confidence against truth.

    ``before`` is the softmax of the scores; ``after`` that of the scores divided by a temperature, which is fitted
    on one half of the samples and judged on the other, both ways round. ``risk[k]`` is the share of errors among
    the ``coverage[k]`` most confident.
    """

    probabilistic: bool
    before: Reliability
    after: Reliability
    temperatures: tuple[float, float]
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float
    words: str


@dataclass(frozen=True)
class Suspect:
    """A sample whose label is probably wrong."""

    sample: int
    given: float
    other: int
    probability: float


@dataclass(frozen=True)
class Duplicate:
    """Two samples that are nearly the same; the second is of the training data where ``leaked``."""

    similarity: float
    first: str
    first_label: str
    first_picture: int | None
    second: str
    second_label: str
    second_picture: int | None
    leaked: bool
    exact: bool


@dataclass(frozen=True)
class Suspects:
    """Where to look for errors in the data."""

    labels: tuple[Suspect, ...]
    n_labels: int
    duplicates: tuple[Duplicate, ...]
    n_duplicates: int
    n_leaked: int
    threshold: float
    words: str


@dataclass(frozen=True)
class Rival:
    """A model on the samples of this report; the first is the model of the report."""

    loss: str
    title: str
    reg: float
    gap: float
    accuracy: Share
    inside: float
    margin: float


@dataclass(frozen=True)
class PairTest:
    """McNemar's test: how often only one of two models is right, and the two-sided mid-p of that."""

    first: int
    second: int
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Disagreement:
    """A sample on which the models differ, and what each says."""

    sample: int
    predicted: tuple[int, ...]


@dataclass(frozen=True)
class Rivals:
    """Several losses on the same samples."""

    models: tuple[Rival, ...]
    tests: tuple[PairTest, ...]
    disagreements: tuple[Disagreement, ...]
    n_disagreements: int


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
    rivals: Rivals | None
    looks: Looks
    margins: Margins
    worst: tuple[int, ...]
    confusion: Confusion
    calibration: Calibration
    suspects: Suspects
    samples: tuple[Sample, ...]
    sheet: Sheet | None

    def record(self) -> dict[str, Any]:
        """Return the report as JSON values, with its format and version; numbers that are not finite are None."""
        plain = _plain(self)
        return {"format": FORMAT, "version": VERSION, **plain}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def percent(value: float, digits: int = 1) -> str:
    """Return a share in words: 0.4135 is "41.4 %", and only 1 is "100 %"."""
    text = f"{100 * value:.{digits}f}"
    if float(text) == 100.0 and value < 1.0:
        text = f"> {100 - 10**-digits:.{digits}f}"
    if float(text.lstrip("> ")) == 0.0 and value > 0.0:
        text = f"< {10**-digits:.{digits}f}"
    return f"{text} %"


def short(value: float, digits: int = 4) -> str:
    """Return a number as the page writes it: 0.25, 12350, 5.9e−5; powers of ten have a digit less."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "–"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{max(0, digits - 2)}e}".split("e")
        text = f"{float(mantissa):.{digits}g}e{int(exponent)}"
    else:
        text = f"{float(f'{value:.{digits}g}'):.15g}"
    return text.replace("-", "\N{MINUS SIGN}")
