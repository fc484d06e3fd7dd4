"""Names of the parts of a data set, and the choice of its test set."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from softmargin.data.dataset import Dataset
from softmargin.data.labels import Unlabelled
from softmargin.text import printable

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Candidate",
    "choose_test",
    "is_plain_word",
    "marks_unlabelled",
    "named_parts",
    "part_of_name",
    "split_part",
]

TRAIN, TEST, VALIDATION = "train", "test", "validation"

_WORDS = {
    TRAIN: "train|training|trn|trainval",
    TEST: "test|testing|tst",
    VALIDATION: "val|valid|validation|validate|dev|eval|evaluation",
}
_AFFIX = (
    "set|sets|data|dataset|images?|imgs?|pictures|photos|split|part|samples?|shards?|files|seg|segmentation|raw|"
    "resized|final|full|new|of|labell?ed|sorted|cropped|csv|tsv|parquet|feather|arrow|gz|default"
)
"""Words that change nothing in a name like ``Training_Set`` or ``seg_train``."""
_PART = {part: re.compile(rf"(?:{_AFFIX})?(?:{words})(?:{_AFFIX})?") for part, words in _WORDS.items()}


class Candidate(NamedTuple):
    """A part that may become the test set: its kind, its name in messages, and how to read it."""

    part: str
    name: str
    read: Callable[[], Dataset | None]


def part_of_name(name: str) -> str | None:
    """Return "train", "test" or "validation" if a name stands for it, else None.

    Case, digits and the usual affixes are ignored: ``Training``, ``train2017``, ``test_set``, ``split=train``,
    ``train-00000-of-00002``.
    """
    part, others = split_part(name)
    return None if others else part


def is_plain_word(name: str) -> bool:
    """Return whether a name holds nothing but a part, numbers and affixes, such as ``data`` or ``part1``."""
    return not split_part(name)[1]


def named_parts(names: Iterable[str]) -> dict[str, str]:
    """Return the part of each name that has one.

    Names that have another word in common are parts, too, if training data are among them: ``xray_train`` and
    ``xray_test``.
    """
    names = list(names)
    found = {name: part for name in names if (part := part_of_name(name))}
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        part, others = split_part(name)
        if part and others:
            groups.setdefault(others, {})[name] = part
    if not found and len(groups) == 1:
        [group] = groups.values()
        found = group if TRAIN in group.values() and len(group) > 1 else {}
    return found


def split_part(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the part in a name, and the words that are neither a part nor an affix."""
    words = [word for word in re.split(r"[\W\d_]+", name.casefold()) if word]
    kinds = [next((part for part, known in _PART.items() if known.fullmatch(word)), None) for word in words]
    rest = (word for word, kind in zip(words, kinds, strict=True) if kind is None)
    others = tuple(word for word in rest if not re.fullmatch(_AFFIX, word))
    parts = {kind for kind in kinds if kind}
    return (parts.pop() if len(parts) == 1 else None), others


def choose_test(
    data: Dataset, candidates: Iterable[Candidate], *, labelled: bool = True
) -> tuple[Dataset | None, list[str], list[str]]:
    """Read the test set: the first labelled part of kind "test", or of kind "validation" if there is none.

    Unless ``labelled``, the test set needs no labels.

    Parameters
    ----------
    data : Dataset
        The training data.
    candidates : iterable of Candidate

    Returns
    -------
    test : Dataset or None
    notes : list of str
    left_out : list of str
        The other parts, with the reason if there is one.
    """
    notes: list[str] = []
    left_out: list[str] = []
    test = None
    for candidate in sorted(candidates, key=lambda candidate: candidate.part != TEST):
        name = printable(candidate.name)
        if test is not None:
            left_out.append(name)
            continue
        try:
            test = candidate.read()
            reason = "no labels"
        except Unlabelled as error:
            reason = f"{error}".rstrip(".")
        needs_labels = labelled and data.y is not None
        if test is None or (needs_labels and (test.y is None or marks_unlabelled(test.y))):
            test = None
            left_out.append(f"{name} ({reason}; it can be given to predict)")
        elif candidate.part == VALIDATION:
            notes.append(f"{name} is used as the test set, because there is no labelled test part")
    return test, notes, left_out


def marks_unlabelled(y: NDArray[Any]) -> bool:
    """Return whether all labels are -1, which stands for no label in public test parts."""
    return len(y) > 0 and y.dtype.kind in "if" and bool((y == -1).all())
