"""What tables share (CSV, parquet, Arrow): which column is the label, which are features, which the ids."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from softmargin.data.dataset import ReadOptions
from softmargin.errors import DataError, ParameterError
from softmargin.text import printable

__all__ = ["ADVICE", "Kind", "Plan", "plan"]

Kind = Literal["number", "text", "list", "image", "other"]
"""What a column holds: a number a row, a word, a list of numbers, an image file, or what nobody can use."""

LABELS = ("label", "labels", "target", "targets", "y", "class", "classes", "category")
IDS = (
    "id", "ids", "index", "path", "file", "filename", "file_name", "image_id", "", "__index_level_0__",
    "unnamed: 0",
)  # fmt: skip
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
        raise DataError(f"{where} has more than one column {printable(repeated[0])!r}; names must differ.")
    notes: list[str] = []
    if options.columns is not None and named:
        return _asked(names, kinds, where, options, options.columns)
    label = _label(names, kinds, where, options.label, notes, named)
    ids = _ids(names, kinds, range(len(names)), label) if named else None
    rest = [k for k in range(len(names)) if k not in (label, ids)]
    features, kind = _features(names, [kinds[k] for k in rest], rest, where)
    if ids is not None:
        notes.append(f"the column {printable(names[ids])!r} is taken for the ids of the samples")
    left_out = [names[k] for k in rest if k not in features]
    if left_out:
        notes.append(f"columns left out: {_some(left_out)}")
    return Plan(features, None if options.only_features else label, ids, kind, tuple(notes))


def _asked(
    names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, columns: Sequence[str]
) -> Plan:
    """Return the plan for columns that are asked for by name; label and ids are found as far as they are there."""
    places = {name: k for k, name in enumerate(names)}
    missing = [name for name in columns if name not in places]
    if missing:
        raise DataError(
            f"{where} has no column {printable(missing[0])!r}"
            + (f", and {len(missing) - 1} more are missing" if len(missing) > 1 else "")
            + f"; its columns are {_some(names)}."
        )
    twice = next((name for name, times in Counter(columns).items() if times > 1), None)
    if twice is not None:
        raise ParameterError(f"the column {printable(twice)!r} is asked for more than once; columns= must differ.")
    features = tuple(places[name] for name in columns)
    free = [k for k in range(len(names)) if k not in set(features)]
    usual, words = _candidates(names, kinds, free)
    found = usual or words
    label = found[0] if len(found) == 1 else None
    if options.label is not None:
        label = _position(names, where, options.label, named=True)
        if label in features:
            raise ParameterError(
                f"the column {printable(options.label)!r} cannot be both the label and a feature."
            )
    kind = kinds[features[0]] if len(features) == 1 and kinds[features[0]] in ("list", "image") else "number"
    ids = _ids(names, kinds, free, label)
    return Plan(features, None if options.only_features else label, ids, kind, ())


def _label(
    names: Sequence[str], kinds: Sequence[Kind], where: str, asked: str | None, notes: list[str], named: bool
) -> int | None:
    if asked is not None:
        return _position(names, where, asked, named=named)
    if not named:
        words = [k for k, kind in enumerate(kinds) if kind == "text"]
        if len(words) != 1:
            return None
        notes.append(f"column {words[0]} is taken for the label: no other holds words")
        return words[0]
    usable = [k for k, kind in enumerate(kinds) if kind in ("number", "text")]
    usual, words = _candidates(names, kinds, usable)
    if len(usual) > 1:
        both = _some([names[k] for k in usual])
        raise DataError(
            f"{where} has several columns that may be the label ({both}); name one with --label (label= in "
            f"Python)."
        )
    if usual:
        notes.append(f"the column {printable(names[usual[0]])!r} is taken for the label")
        return usual[0]
    if len(words) == 1:
        notes.append(f"the column {printable(names[words[0]])!r} is taken for the label: no other holds words")
        return words[0]
    if words:
        notes.append(
            f"several columns hold words ({_some([names[k] for k in words])}), and none of them is taken for the "
            f"label: name one with --label"
        )
    return None


def _ids(names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int], label: int | None) -> int | None:
    """Return the first column with a usual name of ids, if it holds numbers or words."""
    found = next((k for k in places if names[k].lower() in IDS and k != label), None)
    return found if found is not None and kinds[found] in ("number", "text") else None


def _candidates(names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the columns that may be the label: those with usual names, and those of words."""
    usual = [k for k in places if names[k].lower() in LABELS]
    words = [k for k in places if kinds[k] == "text" and names[k].lower() not in IDS]
    return _without_coordinate(usual, words, names, kinds), words


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
                f"(or -1 for the last), but it is {printable(asked)!r}."
            ) from None
    raise ParameterError(
        f"{where} has no column {printable(asked)!r} for the label; its columns are {_some(names)}."
    )


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
    return ", ".join(repr(printable(name)) for name in names[:MOST_NAMED]) + more
