"""The panels of a report: samples, weights, margins, confusion, calibration, errors of the data, other models."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Bin", "Calibration", "ComparedModel", "Confusion", "DataErrors", "Disagreement", "Duplicate",
    "FeatureWeight", "Margins", "ModelComparison", "PairTest", "Pixels", "Reliability", "Sample", "Share", "Sheet",
    "SuspectLabel", "Term", "WeightsPanel",
]  # fmt: skip


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


@dataclass(frozen=True, kw_only=True)
class WeightsPanel:
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

    height: int | None = None
    width: int | None = None
    channels: int | None = None
    weights: str = ""
    reduced: bool = False
    norms: tuple[float, ...]
    biases: tuple[float, ...]
    sizes: tuple[int, ...]
    sizes_of: str
    shown: tuple[int, ...]
    cosines: tuple[tuple[float, ...], ...]
    top: tuple[tuple[int, ...], ...]
    features: tuple[tuple[FeatureWeight, ...], ...]
    map_height: int = 0
    map_width: int = 0
    pixels: tuple[Pixels, ...] = ()
    along_reg: tuple[float, ...] = ()
    along: tuple[str, ...] = ()


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
class SuspectLabel:
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
class DataErrors:
    """Where to look for errors in the data."""

    labels: tuple[SuspectLabel, ...]
    n_labels: int
    duplicates: tuple[Duplicate, ...]
    n_duplicates: int
    n_leaked: int
    threshold: float
    words: str


@dataclass(frozen=True)
class ComparedModel:
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
class ModelComparison:
    """Several losses on the same samples."""

    models: tuple[ComparedModel, ...]
    tests: tuple[PairTest, ...]
    disagreements: tuple[Disagreement, ...]
    n_disagreements: int
