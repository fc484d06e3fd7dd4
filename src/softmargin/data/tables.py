"""Roles of the columns of a table (CSV, parquet, Arrow): label, features and ids."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from softmargin.data.column_names import INDICES, is_index, may_identify, place_name
from softmargin.data.dataset import ReadOptions
from softmargin.data.files import check_unique
from softmargin.data.labels import LABELS
from softmargin.errors import DataError, ParameterError
from softmargin.text import pluralize, printable, quoted, some_of, truncate

__all__ = ["ADVICE", "LABELS", "NO_LABEL", "ROLES", "Kind", "Plan", "plan", "some"]

Kind = Literal["number", "text", "list", "image", "empty", "role", "other"]
"""The content of a column: numbers, text, lists of numbers, image files, nothing, groups or weights of samples, or
values that cannot be used."""

LISTS = ("x", "embedding", "embeddings", "features", "vector", "image", "img")
MOST_NAMED = 12
ROLES = frozenset({"groups_column", "weights_column"})
"""The options of columns that are neither label nor features."""
ADVICE = "; if another column holds the labels, name it with label_column= (--label-column)"
CHOOSE = "choose one with label_column= (--label-column)"
NO_LABEL = "no label, because "
"""Start of the note about a table whose label is not clear."""
COORDINATE = "y"
"""A usual name of labels that may be a coordinate if there is also a column ``x``."""


@dataclass(frozen=True)
class Plan:
    """The used columns of a table, by position.

    Attributes
    ----------
    features : tuple of int
        One column of lists or of images, or columns of numbers.
    label, ids : int, or None
    kind : {"number", "list", "image", "text"}
        The content of the features.
    notes : tuple of str
        What was decided automatically, as messages for the user.
    by_place : bool
        Whether features of a table without names were requested by their places.
    groups, weights : int, or None
        The columns ``options.groups_column`` and ``options.weights_column``.
    """

    features: tuple[int, ...]
    label: int | None
    ids: int | None
    kind: Kind
    notes: tuple[str, ...]
    by_place: bool = False
    groups: int | None = None
    weights: int | None = None

    def feature_names(self, names: Sequence[str], *, named: bool = True) -> tuple[str, ...] | None:
        """Return the names of the features; None if the table has none."""
        if named:
            return tuple(names[k] for k in self.features)
        return tuple(map(place_name, self.features)) if self.by_place else None


def _place(names: Sequence[str], name: str) -> int | None:
    return list(names).index(name) if name in names else None


def plan(
    names: Sequence[str],
    kinds: Sequence[Kind],
    where: str,
    options: ReadOptions,
    *,
    named: bool = True,
    distinct: Callable[[int], bool] = lambda _: True,
) -> Plan:
    """Decide the role of each column.

    The label is ``options.label_column`` (a name or, in a table without names, a position from 0; -1 is the last),
    else the only column with a usual name, else the only column of text. A column of numbers named ``y`` has lower
    priority if there is a column of text or a column of numbers named ``x``. Features are ``options.columns``,
    else the only column of lists or of images, else all columns of numbers that are neither label nor ids. All
    columns with a usual name of ids are left out, and the first of them are the ids. Without such a column, the
    ids are the first unused column that is named like an identifier and has ``distinct`` values. In a table
    without names, ``options.columns`` may be the names that `place_name` returns. If only the features are read,
    the label column may be missing.

    Raises
    ------
    DataError
        A requested column does not exist, or the roles are ambiguous.
    ParameterError
        ``options.label_column`` is not a column.
    """
    check_unique(
        [name for name, kind in zip(names, kinds, strict=True) if name and kind != "empty"], where, "column"
    )
    roles = [_role(names, where, options, name, named) for name in ("groups_column", "weights_column")]
    kinds = [kind if k not in roles else "role" for k, kind in enumerate(kinds)]
    made = _plan(names, kinds, where, options, named)
    ids = made.ids
    if ids is None and named:
        used = {*made.features, made.label, options.label_column and _place(names, options.label_column)}
        free = (k for k, kind in enumerate(kinds) if k not in used and kind in ("number", "text"))
        ids = next((k for k in free if may_identify(names[k]) and distinct(k)), None)
    return replace(made, ids=ids, groups=roles[0], weights=roles[1])


def _plan(names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, named: bool) -> Plan:
    """Return the plan for the columns that are not groups or weights."""
    options = _of_new_samples(names, options, named)
    notes: list[str] = []
    text = _text(names, kinds, where, options, named)
    if text is not None:
        return _plan_of_text(names, kinds, where, options, text, named)
    places = names if named else [place_name(k) for k in range(len(names))]
    if options.columns is not None and (named or {*options.columns} <= {*places}):
        return _requested(places, kinds, where, options, options.columns, named)
    label = _label(names, kinds, where, options.label_column, notes, named)
    ids = _ids(names, kinds, range(len(names)), label)
    rest = [k for k in range(len(names)) if k not in (label, ids)]
    features, kind = _features(names, kinds, [k for k in rest if not is_index(names[k])], where)
    if ids is not None:
        notes.append(f"column {quoted(names[ids])} is used as the sample ids")
    used = set(features)
    unused = [k for k in rest if k not in used and kinds[k] not in ("empty", "role")]
    notes += _left_out(names, kinds, unused, kind)
    empty = [names[k] for k in rest if kinds[k] == "empty"]
    if empty:
        listed = [name for name in empty if name]
        which = f" ({some(listed)})" if listed and named else ""
        notes.append(f"{pluralize(len(empty), 'empty column')} passed over{which}")
    return Plan(features, None if options.only_features else label, ids, kind, tuple(notes))


def _role(names: Sequence[str], where: str, options: ReadOptions, option: str, named: bool) -> int | None:
    """Return the position of the column of groups or of weights, which can be neither label nor feature."""
    column = getattr(options, option)
    if column is None:
        return None
    found = truncate(printable(column))
    try:
        position = list(names).index(column) if named else range(len(names))[int(column)]
    except (ValueError, IndexError):
        what = option.partition("_")[0]
        raise ParameterError(f"{where} has no column '{found}' for the {what}; {_known(column, names)}.") from None
    usual = [name for name in names if name.lower() in LABELS and name not in _roles_of(options)]
    if named and column.lower() in LABELS and not usual and not options.only_features and not options.label_column:
        raise ParameterError(
            f"{option}= must not be the usual name of the label, got {found!r}; name the column of labels with "
            f"label_column= (--label-column), too."
        )
    others = [options.label_column, options.text, *(options.columns or ())]
    if column in [other for other in others if other is not None]:
        raise ParameterError(f"{option}= must not be the label, the text or a feature, got '{found}'.")
    return position


def _roles_of(options: ReadOptions) -> tuple[str | None, ...]:
    return options.groups_column, options.weights_column


def _of_new_samples(names: Sequence[str], options: ReadOptions, named: bool) -> ReadOptions:
    """Return the options without the label column if only features are read and the table lacks that column."""
    if not options.only_features or options.label_column is None:
        return options
    if named:
        found = options.label_column in names
    elif options.columns and {*options.columns} <= {place_name(k) for k in range(len(names))}:
        place = int(options.label_column)  # features may have been left out, so that their number says nothing
        places = range(len(names))
        found = -len(places) <= place < len(places) and place_name(places[place]) not in options.columns
    else:
        found = len(names) - 1 == options.n_features
    return options if found else replace(options, label_column=None)


def _requested(
    names: Sequence[str],
    kinds: Sequence[Kind],
    where: str,
    options: ReadOptions,
    columns: Sequence[str],
    named: bool,
) -> Plan:
    """Return the plan for columns that are requested by name, with label and ids if they can be found."""
    places = {name: k for k, name in enumerate(names)}
    missing = [name for name in columns if name not in places]
    if missing:
        raise DataError(f"{where} has no column {some(missing)}; {_known(missing[0], names)}.")
    repeated = next((name for name, n in Counter(columns).items() if n > 1), None)
    if repeated is not None:
        raise ParameterError(f"columns= must not repeat a column, got {quoted(repeated)} more than once.")
    features = tuple(places[name] for name in columns)
    free = [k for k in range(len(names)) if k not in set(features)]
    usual, words = _candidates(names, kinds, free)
    found = usual or words
    label = found[0] if len(found) == 1 else None
    if options.label_column is not None:
        label = _position(names, where, options.label_column, named=named)
        if label in features:
            raise ParameterError(
                f"label_column= must not be one of columns=, got {quoted(options.label_column)} in both."
            )
    kind = kinds[features[0]] if len(features) == 1 and kinds[features[0]] in ("list", "image") else "number"
    ids = _ids(names, kinds, free, label)
    return Plan(features, None if options.only_features else label, ids, kind, (), by_place=not named)


def _text(
    names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, named: bool
) -> int | None:
    """Return the column of texts to compute features of: the requested one or, for raw samples, the only one."""
    if options.text is not None:
        if options.columns is not None:
            raise ParameterError("text= and columns= are mutually exclusive; give only one of them.")
        if options.text not in names:
            raise DataError(
                f"{where} has no column {quoted(options.text)} for the text; {_known(options.text, names)}."
            )
        return list(names).index(options.text)
    if options.raw == "pictures" and "image" not in kinds:
        raise DataError(f"{where} must have a column of images, got columns {some(names)}.")
    if options.raw != "texts":
        return None
    label = None if options.label_column is None else _position(names, where, options.label_column, named=named)
    words = [
        k
        for k, kind in enumerate(kinds)
        if kind == "text" and k != label and names[k].lower() not in LABELS and not is_index(names[k])
    ]
    if len(words) != 1:
        found = some([names[k] for k in words]) if words else "none"
        raise DataError(f"{where} must have one column of texts, got {found}; choose it with text= (--text).")
    return words[0]


def _plan_of_text(
    names: Sequence[str], kinds: Sequence[Kind], where: str, options: ReadOptions, text: int, named: bool
) -> Plan:
    """Return the plan for a column of texts, whose label and ids are in other columns."""
    free = [k for k in range(len(names)) if k != text]
    usual, words = _candidates(names, kinds, free)
    found = usual or words
    label = found[0] if len(found) == 1 else None
    notes = [] if options.text is not None else [f"column {quoted(names[text])} is used as the text"]
    if options.label_column is not None:
        label = _position(names, where, options.label_column, named=named)
        if label == text:
            raise ParameterError(
                f"label_column= must not be the column of texts, got {quoted(options.label_column)}."
            )
    elif label is not None:
        notes.append(f"column {quoted(names[label])} is used as the label")
    ids = _ids(names, kinds, free, label)
    return Plan((text,), None if options.only_features else label, ids, "text", tuple(notes))


def _label(
    names: Sequence[str], kinds: Sequence[Kind], where: str, label: str | None, notes: list[str], named: bool
) -> int | None:
    if label is not None:
        return _position(names, where, label, named=named)
    usable = [k for k, kind in enumerate(kinds) if kind in ("number", "text", "empty")]
    usual, words = _candidates(names, kinds, usable)
    if len(usual) > 1:
        found = some([names[k] for k in usual])
        raise DataError(f"{where} has several possible label columns ({found}); {CHOOSE}.")
    if usual:
        notes.append(f"column {quoted(names[usual[0]])} is used as the label")
        return usual[0]
    if len(words) == 1:
        notes.append(f"column {quoted(names[words[0]])} is used as the label (the only text column)")
        return words[0]
    if words:
        found = some([names[k] for k in words])
        notes.append(f"{NO_LABEL}there are several text columns ({found}); {CHOOSE}")
    return None


def _ids(names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int], label: int | None) -> int | None:
    """Return the first column of numbers or text with a usual name of ids; indices of tables come last."""
    found = [k for k in places if is_index(names[k]) and k != label and kinds[k] in ("number", "text")]
    return min(found, key=lambda k: INDICES.fullmatch(names[k].strip().lower()) is not None, default=None)


def _candidates(names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the columns that may be the label: those with usual names, and those of text.

    A column of numbers named ``y`` is not among them if another column is more likely the label.
    """
    usual = [k for k in places if names[k].lower() in LABELS]
    usual = [k for k in usual if kinds[k] != "empty"] or usual
    words = [k for k in places if kinds[k] == "text" and not is_index(names[k])]
    rest = [k for k in usual if names[k].lower() != COORDINATE or kinds[k] != "number"]
    numbers = {name.lower() for name, kind in zip(names, kinds, strict=True) if kind == "number"}
    others = [name for name in numbers if name != COORDINATE and not is_index(name)]  # else y is the only feature
    is_coordinate = ("x" in numbers and rest) or (len(words) == 1 and not rest and others)
    return (rest if is_coordinate else usual), words


def _position(names: Sequence[str], where: str, label: str, *, named: bool) -> int:
    found = truncate(printable(label))
    try:
        return list(names).index(label) if named else range(len(names))[int(label)]
    except (ValueError, IndexError):
        text = f"{where} has no column '{found}' for the label; {_known(label, names)}."
        if not named:
            text = (
                f"label_column= must be a position from 0 to {len(names) - 1} (or -1 for the last), got '{found}'."
            )
        raise ParameterError(text) from None


def _features(
    names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int], where: str
) -> tuple[tuple[int, ...], Kind]:
    kind: Kind
    for kind in ("list", "image"):
        found = [k for k in places if kinds[k] == kind]
        usual = [k for k in found if names[k].lower() in LISTS]
        chosen = found if len(found) == 1 else usual
        if len(chosen) == 1:
            return (chosen[0],), kind
        if found:
            listed = f"{len(found)} columns of {kind}s ({some([names[k] for k in found])})"
            raise DataError(f"{where} has {listed}; choose one with columns= (--columns).")
    numbers = tuple(k for k in places if kinds[k] == "number")
    if not numbers:
        texts = [names[k] for k in places if kinds[k] == "text"]
        advice = "; features of texts need text= and features=" if texts else ""
        raise DataError(
            f"{where} must have a column of numbers besides the label, got columns {some(names)}{advice}."
        )
    return numbers, "number"


def _left_out(names: Sequence[str], kinds: Sequence[Kind], unused: Sequence[int], features: Kind) -> list[str]:
    """Return notes about the columns that are not used, with the reason."""
    reasons: dict[str, list[str]] = {}
    for k in unused:
        if is_index(names[k]):
            reason = "named like ids or an index"
        elif features != "number":
            reason = f"the features are a column of {features}s"
        elif kinds[k] == "text":
            reason = "text; to use categories, encode them as columns of 0 and 1"
        else:
            reason = "neither numbers nor text"
        reasons.setdefault(reason, []).append(names[k])
    return [f"columns left out: {some(columns)} ({reason})" for reason, columns in reasons.items()]


def some(names: Sequence[str]) -> str:
    """Return names for a message, at most about twelve of them."""
    return some_of(names, MOST_NAMED, quoted)


def _known(wanted: object, names: Sequence[str]) -> str:
    """Return a clause with the names of the columns and the nearest name to one that is missing."""
    by_case = {name.lower(): name for name in names}
    near = get_close_matches(str(wanted).lower(), by_case, 1)
    clause = f"; the nearest name is {quoted(by_case[near[0]])}" if near else ""
    return f"its columns are {some(names)}{clause}"
