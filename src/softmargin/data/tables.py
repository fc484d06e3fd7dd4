"""What tables share (CSV, parquet, Arrow): which column is the label, which are features, which the ids."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import ReadOptions, as_labels, shown
from softmargin.data.labels import plain_integers
from softmargin.errors import DataError, ParameterError

__all__ = ["ADVICE", "Kind", "Plan", "labels_of_words", "plan"]

Kind = Literal["number", "text", "list", "image", "other"]
"""What a column holds: a number a row, a word, a list of numbers, an image file, or what nobody can use."""

LABELS = ("label", "labels", "target", "targets", "y", "class", "classes", "category")
IDS = (
    "id",
    "ids",
    "index",
    "path",
    "file",
    "filename",
    "file_name",
    "image_id",
    "",
    "__index_level_0__",
    "unnamed: 0",
)
LISTS = ("x", "embedding", "embeddings", "features", "vector", "image", "img")
MOST_NAMED = 5
ADVICE = "; if another column holds the labels, name it with label=, or --label"
COORDINATE = "y"
"""A usual name of labels that numbers have for another reason, beside an ``x``."""


@dataclass(frozen=True)
class Plan:
    """The columns of a table that are used, by their position.

    Attributes
    ----------
    features : tuple of int
        One column of lists or of images, or columns of numbers.
    label, ids : int, or None
    kind : {"number", "list", "image"}
        Of the features.
    notes : tuple of str
        What was decided on the user's behalf.
    """

    features: tuple[int, ...]
    label: int | None
    ids: int | None
    kind: Kind
    notes: tuple[str, ...]


def plan(
    names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, *, named: bool = True
) -> Plan:
    """Decide which column is what, as `_plan` says; the label is none where it is not wanted."""
    made = _plan(names, kinds, where, options, named)
    return replace(made, label=None) if options.only_features else made


def _plan(names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, named: bool) -> Plan:
    """Decide which column is what.

    The label is ``options.label`` (a name or, in a table without names, a position from 0; -1 is the last),
    else the one column with a usual name, else the only column of words; numbers merely named ``y`` come after
    these where there is a column of words or one of numbers named ``x``. Features are ``options.columns``, else
    the one column of lists or of images, else all columns of numbers that are neither label nor ids.

    Raises
    ------
    DataError
        A column that is asked for is not there, or what is what cannot be told.
    ParameterError
        ``options.label`` is no column.
    """
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if named and repeated:
        raise DataError(f"{where} has more than one column {shown(repeated[0])!r}; names must differ.")
    notes: list[str] = []
    if options.columns is not None and named:
        return _asked(names, kinds, where, options, options.columns)
    label = _label(names, kinds, where, options.label, notes, named)
    ids = None
    if named:
        found = [k for k, name in enumerate(names) if name.lower() in IDS and k != label]
        ids = found[0] if found and kinds[found[0]] in ("number", "text") else None
    rest = [k for k in range(len(names)) if k not in (label, ids)]
    features, kind = _features(names, [kinds[k] for k in rest], rest, where)
    if ids is not None:
        notes.append(f"the column {shown(names[ids])!r} is taken for the ids of the samples")
    left_out = [names[k] for k in rest if k not in features]
    if left_out:
        notes.append(f"columns left out: {_some(left_out)}")
    return Plan(features, label, ids, kind, tuple(notes))


def labels_of_words(words: list[str], where: str, advice: str = "") -> NDArray[Any]:
    """Return labels that were text: integers if all are, or numbers with a point that are whole; else words."""
    labels = plain_integers(words)
    if labels.dtype.kind == "U" and words and all(_has_point(word) for word in words):
        return as_labels(np.array([float(word) for word in words]), len(words), where, advice)
    return labels


def _has_point(word: str) -> bool:
    whole, point, part = word.removeprefix("-").partition(".")
    return bool(point) and word.isascii() and whole.isdigit() and (part.isdigit() or not part)


def _asked(
    names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, columns: Sequence[str]
) -> Plan:
    """Return the plan for columns that are asked for by name; label and ids are found as far as they are there."""
    places = {name: k for k, name in enumerate(names)}
    missing = [name for name in columns if name not in places]
    if missing:
        raise DataError(
            f"{where} has no column {shown(missing[0])!r}"
            + (f", and {len(missing) - 1} more are missing" if len(missing) > 1 else "")
            + f"; its columns are {_some(names)}."
        )
    twice = next((name for name, times in Counter(columns).items() if times > 1), None)
    if twice is not None:
        raise ParameterError(f"the column {shown(twice)!r} is asked for more than once; columns= must differ.")
    features = tuple(places[name] for name in columns)
    free = [k for k in range(len(names)) if k not in set(features)]
    label = ids = None
    if options.label is not None:
        label = _position(names, where, options.label, named=True)
        if label in features:
            raise ParameterError(f"the column {shown(options.label)!r} cannot be both the label and a feature.")
    else:
        usual = [k for k in free if names[k].lower() in LABELS]
        words = [k for k in free if kinds[k] == "text" and names[k].lower() not in IDS]
        found = _without_coordinate(usual, words, names, kinds) or words
        label = found[0] if len(found) == 1 else None
    found = [k for k in free if names[k].lower() in IDS and kinds[k] in ("number", "text") and k != label]
    ids = found[0] if found else None
    kind = kinds[features[0]] if features else "number"
    if len(features) != 1 or kind not in ("list", "image"):
        kind = "number"
    return Plan(features, label, ids, kind, ())


def _label(
    names: Sequence[str], kinds: Sequence[Kind], where: str, asked: str | None, notes: list[str], named: bool
) -> int | None:
    if asked is not None:
        return _position(names, where, asked, named=named)
    usable = ("number", "text")
    if named:
        usual = [k for k, name in enumerate(names) if name.lower() in LABELS and kinds[k] in usable]
        words = [k for k, name in enumerate(names) if kinds[k] == "text" and name.lower() not in IDS]
        usual = _without_coordinate(usual, words, names, kinds)
        if len(usual) > 1:
            both = _some([names[k] for k in usual])
            raise DataError(
                f"{where} has several columns that may be the label ({both}); name one with --label (label= in "
                f"Python)."
            )
        if usual:
            notes.append(f"the column {shown(names[usual[0]])!r} is taken for the label")
            return usual[0]
    words = [k for k, kind in enumerate(kinds) if kind == "text" and not (named and names[k].lower() in IDS)]
    if len(words) == 1:
        notes.append(
            f"the column {shown(names[words[0]])!r} is taken for the label: no other holds words"
            if named
            else f"column {words[0]} is taken for the label: no other holds words"
        )
        return words[0]
    if named and words:
        notes.append(
            f"several columns hold words ({_some([names[k] for k in words])}), and none of them is taken for the "
            f"label: name one with --label"
        )
    return None


def _without_coordinate(
    usual: list[int], words: list[int], names: Sequence[str], kinds: Sequence[Kind]
) -> list[int]:
    """Take numbers named ``y`` from the columns with usual names if others are more likely to be the label."""
    rest = [k for k in usual if names[k].lower() != COORDINATE or kinds[k] != "number"]
    numbers = {name.lower() for name, kind in zip(names, kinds, strict=True) if kind == "number"}
    others = numbers.difference(IDS, (COORDINATE,))  # without any, y would be the only feature
    return rest if ("x" in numbers and rest) or (len(words) == 1 and not rest and others) else usual


def _position(names: Sequence[str], where: str, asked: str, *, named: bool) -> int:
    if named and asked in names:
        return list(names).index(asked)
    if not named:
        try:
            return range(len(names))[int(asked)]
        except (ValueError, IndexError):
            raise ParameterError(
                f"{where} has no names of columns, so label= must be a position from 0 to {len(names) - 1} "
                f"(or -1 for the last), but it is {shown(asked)!r}."
            ) from None
    raise ParameterError(f"{where} has no column {shown(asked)!r} for the label; its columns are {_some(names)}.")


def _features(
    names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int], where: str
) -> tuple[tuple[int, ...], Kind]:
    by_kind: dict[Kind, list[int]] = {}
    for kind, place in zip(kinds, places, strict=True):
        by_kind.setdefault(kind, []).append(place)
    for kind in ("list", "image"):
        found = by_kind.get(kind, [])
        usual = [k for k in found if names[k].lower() in LISTS]
        chosen = found if len(found) == 1 else usual
        if len(chosen) == 1:
            return (chosen[0],), kind
        if found:
            raise DataError(
                f"{where} has {len(found)} columns of {kind}s ({_some([names[k] for k in found])}); "
                f"name the one to use with --columns (columns= in Python)."
            )
    if "number" not in by_kind:
        raise DataError(f"{where} has no column of numbers beside its label; its columns are {_some(names)}.")
    return tuple(by_kind["number"]), "number"


def _some(names: Sequence[str]) -> str:
    more = f", … ({len(names) - MOST_NAMED} more)" if len(names) > MOST_NAMED else ""
    return ", ".join(repr(shown(name)) for name in names[:MOST_NAMED]) + more
