"""What `check` found out about a function, as a record and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softmargin.text import pluralize

__all__ = ["TITLES", "CheckReport", "Mistake", "Part"]

TITLES = {
    "hinge": "hinge loss (multiclass SVM)",
    "squared_hinge": "squared hinge loss (L2-SVM)",
    "cross_entropy": "cross-entropy (softmax)",
}
"""Title of each loss."""


@dataclass(frozen=True)
class Mistake:
    """A mistake, with what to do about it.

    Attributes
    ----------
    part : str
        "call", "data loss", "penalty", "gradient of the data loss" or "gradient of the penalty".
    name : str
        What the function does, such as "counts the target class". "" if the part is wrong for an unknown reason.
    advice : str
        What to do, or what is known about a part that is wrong for an unknown reason.
    """

    part: str
    name: str
    advice: str

    @property
    def sentence(self) -> str:
        """The name as a sentence."""
        subject = "gradient" if self.part.startswith("gradient") else "function"
        return f"The {subject} {self.name}." if self.name else f"The {self.part} is wrong."


@dataclass(frozen=True)
class Part:
    """The result for one part of the value or of the gradient.

    Attributes
    ----------
    name : str
        "data loss", "penalty", "gradient of the data loss" or "gradient of the penalty".
    state : str
        "correct", "wrong", "unchecked", or of a gradient "consistent": it is the gradient of a wrong value.
    error : float or None
        Largest relative error over all problems, None if unchecked.
    detail : str
        Numbers of the problem with the largest error, "" if the part is correct.
    """

    name: str
    state: str
    error: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class CheckReport:
    """The result of `check`; ``str(report)`` is a text to read.

    Attributes
    ----------
    function : str
        Name of the function.
    loss : str
        "hinge", "squared_hinge" or "cross_entropy".
    parts : tuple of Part
    mistakes : tuple of Mistake
        Empty if the function passed.
    notes : tuple of str
        Sentences about limits that are not mistakes.
    """

    function: str
    loss: str
    parts: tuple[Part, ...]
    mistakes: tuple[Mistake, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no mistake was found."""
        return not self.mistakes

    def __str__(self) -> str:
        found = "no mistake found" if self.passed else pluralize(len(self.mistakes), "mistake")
        lines = [f"{self.function} as the {TITLES[self.loss]}: {found}.", ""]
        width = max((len(part.name) for part in self.parts), default=0)
        lines += [f"{part.name:{width}}  {_words(part)}" for part in self.parts]
        if self.mistakes:
            lines += [""] * bool(self.parts)
            for number, mistake in enumerate(self.mistakes, 1):
                lines.append(f"{number}. {mistake.sentence} {mistake.advice}".rstrip())
        if self.notes:
            lines += ["", *(f"Note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "function": self.function,
            "loss": self.loss,
            "passed": self.passed,
            "parts": [vars(part) for part in self.parts],
            "mistakes": [vars(mistake) for mistake in self.mistakes],
            "notes": list(self.notes),
        }


def _words(part: Part) -> str:
    """Return the state of a part in words."""
    if part.state == "unchecked":
        return part.detail or "not checked"
    if part.state == "correct":
        error = f"{part.error:.0e}" if part.error else "0"
        return f"correct (relative error {error})".replace("0e+00", "0")
    if part.state == "consistent":
        return "consistent with the value, which is wrong"
    return f"wrong: {part.detail}"
