"""The panels of a report: samples, weights, margins, confusion, calibration, errors of the data, other models."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Bin", "Calibration", "ComparedModel", "Confusion", "DataErrors", "Disagreement", "Duplicate", "FeatureWeight",
    "Margins", "ModelComparison", "PairTest", "Pixels", "Reliability", "Sample", "Share", "Sheet", "SuspectLabel",
    "Term", "WeightsPanel",
]  # fmt: skip


@dataclass(frozen=True)
class Share:
    """A proportion of samples with its 95 % confidence interval (Wilson).

    All three are None without samples. The interval is None on the training data, where it would not be valid for
    new samples.
    """

    n_correct: int
    n: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Term:
    """The contribution of one class to the loss of a sample.

    For the hinges ``value`` is max(0, s_j - s_y + Δ), or its square; for cross-entropy it is the probability of
    the class, and the loss is minus the logarithm of that of the true class.
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
        The margin is s_y minus the largest score of another class.
    terms : tuple of Term
        Those of the largest scores, and always that of the true class.
    n_rest : int
    rest : float
        Number of terms left out, and their sum.
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
    """Contributions of the pixels of a sample to two scores; float32, little-endian, base64.

    ``own`` is x·W of the true class, summed over channels (and over blocks of pixels if the picture is larger than
    the map); ``other`` is that of the strongest rival. Each sums to the score of its class minus the intercept.
    """

    sample: int
    rival: int
    own: str
    other: str


@dataclass(frozen=True)
class FeatureWeight:
    """A feature with a large effect on the score of a class.

    ``weight`` is that of the raw feature minus the mean over classes; ``effect`` is ``weight`` times the standard
    deviation of the feature on the evaluated samples, which makes features with different units comparable.
    """

    feature: str
    weight: float
    effect: float


@dataclass(frozen=True, kw_only=True)
class WeightsPanel:
    """The weights of each class.

    Attributes
    ----------
    height, width, channels : int or None
        Size of the weights as pictures; None if features are not pixels.
    pictures : str
        Weights as float32, little-endian, base64, class by class; "" if features are not pixels.
    reduced : bool
        Whether their size was reduced by averaging pixels.
    norms : tuple of float
        ‖w‖ of each class on preprocessed features, after subtracting the mean over classes.
    biases : tuple of float
    sizes : tuple of int
        Samples per class: of the training data if available, else of the evaluated data.
    sizes_of : str
    shown : tuple of int
        Classes of ``cosines``.
    cosines : tuple of tuple of float
        Cosine similarity of the weights of classes, after subtracting the mean over classes.
    top : tuple of tuple of int
        The samples with the largest score of each class.
    features : tuple of tuple of FeatureWeight
        Those of largest effect per class, from the most positive to the most negative. Empty for images and if
        there are too many features.
    map_height, map_width : int
    pixels : tuple of Pixels
    along_reg : tuple of float
    along : tuple of str
        As ``pictures``, for models fitted with other λ.
    """

    height: int | None = None
    width: int | None = None
    channels: int | None = None
    pictures: str = ""
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
    """Histograms of s_y - max_{j≠y} s_j per class; the first and last bin include all values beyond."""

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    delta: float | None
    inside: tuple[float | None, ...]
    wrong: tuple[float | None, ...]
    all_inside: float
    all_wrong: float


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix.

    Attributes
    ----------
    shown : tuple of int
        Classes of the matrix: all, or those with most errors.
    counts : tuple of tuple of int
        Rows are true, columns predicted, both in the order of ``shown``.
    orders : dict of str to tuple of int
        Ways to sort ``shown``: indices into it.
    pairs : tuple of (true, predicted, count, count of the reverse)
        Class numbers and counts, most frequent first.
    cells : dict of str to tuple of int
        "true,predicted": samples of that cell, by decreasing loss.
    """

    shown: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    orders: dict[str, tuple[int, ...]]
    pairs: tuple[tuple[int, int, int, int], ...]
    cells: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Bin:
    """Samples of similar confidence: their number, mean confidence and accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram, expected calibration error and log loss (mean of -ln p_y)."""

    bins: tuple[Bin, ...]
    ece: float
    mean_loss: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of the probabilities.

    ``temperature`` is that of the model: 1 if its loss is ``probabilistic``, None if it has none. ``before`` is
    the softmax of the scores divided by it (by 1 if it is None): the probabilities of the model. ``after`` is that
    of the scores divided by a temperature that is fitted on one half of the samples and evaluated on the other,
    both ways. ``risk[k]`` is the error rate of the fraction ``coverage[k]`` of most confident samples.
    """

    probabilistic: bool
    temperature: float | None
    before: Reliability
    after: Reliability
    temperatures: tuple[float, float]
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float
    words: str


@dataclass(frozen=True)
class SuspectLabel:
    """A sample whose label is probably wrong, with the probabilities of this and of the other label."""

    sample: int
    given: float
    other: int
    probability: float


@dataclass(frozen=True)
class Duplicate:
    """Two near-duplicates; if ``leaked``, the second is in the training data."""

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
    """Probable errors in the data."""

    labels: tuple[SuspectLabel, ...]
    n_labels: int
    duplicates: tuple[Duplicate, ...]
    n_leaked: int
    words: str


@dataclass(frozen=True)
class ComparedModel:
    """Results of a model on the samples of this report; the first is the model of the report."""

    loss: str
    title: str
    reg: float
    gap: float
    accuracy: Share
    inside: float
    margin: float


@dataclass(frozen=True)
class PairTest:
    """McNemar's test: samples that only one of two models classifies correctly, and the two-sided mid-p."""

    first: int
    second: int
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Disagreement:
    """A sample on which the models differ, and the prediction of each."""

    sample: int
    predicted: tuple[int, ...]


@dataclass(frozen=True)
class ModelComparison:
    """Several models on the same samples."""

    models: tuple[ComparedModel, ...]
    tests: tuple[PairTest, ...]
    disagreements: tuple[Disagreement, ...]
    n_disagreements: int
