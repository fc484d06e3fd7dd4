"""Records of a comparison of several feature sets, for models and reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from softmargin.selection.paired import PairedTest
from softmargin.selection.wording import feature_sentences
from softmargin.text import from_json

__all__ = ["FeatureChoice", "FeatureSet"]


@dataclass(frozen=True)
class FeatureSet:
    """One of several feature sets, with its best loss at the selected λ.

    Attributes
    ----------
    name : str
    n_features : int
    loss : str
        Name of its best loss, with its parameters where names repeat.
    reg : float
        λ.
    accuracy, standard_error : float
        Held-out accuracy of this loss and λ, and its standard error.
    accuracies : dict of str to float
        Held-out accuracy of each loss at its own λ.
    seconds : float
        Wall time of the comparison of the losses.
    """

    name: str
    n_features: int
    loss: str
    reg: float
    accuracy: float
    standard_error: float
    accuracies: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class FeatureChoice:
    """Which of several feature sets was selected, and why.

    Attributes
    ----------
    selected : str
        Name of the set with the best held-out accuracy; of equal ones the first.
    sets : tuple of FeatureSet
        In the given order.
    tests : tuple of PairedTest
        The selected set against each of the others, each with its best loss and λ.
    """

    selected: str
    sets: tuple[FeatureSet, ...]
    tests: tuple[PairedTest, ...]

    def sentences(self) -> list[str]:
        """Return sentences that compare the selected set with the others."""
        return feature_sentences(self)

    def record(self) -> dict[str, Any]:
        """Return a dict of the attributes."""
        return asdict(self) | {"tests": [test.record() for test in self.tests]}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> FeatureChoice:
        """Return the choice from the dict that its method ``record`` returned; raise `LookupError` for another."""
        return cls(
            record["selected"],
            tuple(from_json(FeatureSet, one) for one in record["sets"]),
            tuple(from_json(PairedTest, test) for test in record["tests"]),
        )
