"""Groups, class weights and the number of training samples, as the options of `fit` and `compare` give them."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmargin.errors import DataError, ParameterError
from softmargin.text import pluralize, printable, quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softmargin.data import Dataset
    from softmargin.shards import Shards

__all__ = [
    "check_pattern",
    "factors_by_class",
    "factors_of_shards",
    "groups_by_name",
    "is_file",
    "limited",
    "read_factors",
    "read_groups",
]

_GROUP_FILES = (".npy", ".txt", ".csv")


def is_file(groups: str) -> bool:
    """Tell whether ``--groups`` names a file and not a column."""
    return groups.lower().endswith(_GROUP_FILES)


def read_groups(path: str, n_samples: int, of: str) -> NDArray[Any]:
    """Return one group per sample, from a .npy file, or from the lines of a .txt or .csv file.

    ``of`` names the samples, for messages: "training samples of DATA". A .csv file has one column; one more line
    than samples is a header.
    """
    import numpy as np

    from softmargin.data.labels import is_missing

    where = printable(path)
    if not is_file(path):
        raise DataError(f"{where} has an unknown format of groups; expected .npy, .txt or .csv.")
    try:
        if path.lower().endswith(".npy"):
            found = np.load(path, allow_pickle=False)
        else:
            lines = Path(path).read_text("utf-8-sig").splitlines()
            rows = list(csv.reader(lines)) if path.lower().endswith(".csv") else [[line] for line in lines]
            wide = next((k for k, row in enumerate(rows, 1) if len(row) != 1), None)
            if wide is not None:
                found_cells = pluralize(len(rows[wide - 1]), "cell")
                raise DataError(f"{where} must have one column of groups, got {found_cells} in line {wide}.")
            has_header = path.lower().endswith(".csv") and len(rows) == n_samples + 1
            found = np.array([row[0].strip() for row in rows[has_header:]], dtype=np.str_)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{where} must be a {path.rpartition('.')[2]} file of groups ({error}).") from error
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.shape != (n_samples,):
        raise DataError(
            f"{where} must hold one group for each of the {n_samples:,} {of}, got shape {found.shape}."
        )
    words = found.tolist() if found.dtype.kind == "U" else []
    lost = next((k for k, word in enumerate(words) if is_missing(word)), None)
    if lost is not None:
        raise DataError(f"{where} must name the group of each sample, got {quoted(words[lost])} in row {lost}.")
    return np.asarray(found)


def check_pattern(pattern: str) -> re.Pattern[str]:
    """Return the compiled ``--group-by``, or raise a `ParameterError`."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ParameterError(
            f"--group-by must be a regular expression, got {quoted(pattern)} ({error})."
        ) from error


def groups_by_name(data: Dataset, pattern: re.Pattern[str], source: str) -> NDArray[Any]:
    """Return the part of the name of each sample that the expression finds: its first group, else its match."""
    import numpy as np

    if data.ids is None:
        raise DataError(
            f"--group-by needs samples with names: images, or a table with a column of ids; {source} has none."
        )
    groups = []
    for name in data.ids:
        match = pattern.search(name)
        found = None if match is None else match[1 if pattern.groups else 0]
        if found is None:
            raise DataError(
                f"--group-by {quoted(pattern.pattern)} must match the name of each sample, got {quoted(name)}."
            )
        groups.append(found)
    return np.array(groups, dtype=np.str_)


def read_factors(option: str | None) -> dict[str, float] | str | None:
    """Return ``--class-weight``: "balanced", or the factors of a JSON file by the text of the label."""
    if option is None or option == "balanced":
        return option
    if not option.lower().endswith(".json"):
        raise ParameterError(
            f"--class-weight must be balanced or a .json file of factors by label, got {quoted(option)}."
        )
    where = printable(option)
    try:
        factors = json.loads(Path(option).read_text("utf-8-sig"), object_pairs_hook=_unique)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} must be a JSON object of factors by label ({error}).") from error
    if not isinstance(factors, dict) or not factors:
        raise DataError(f"{where} must be a JSON object of factors by label, got {type(factors).__name__}.")
    for label, factor in factors.items():
        is_number = isinstance(factor, (int, float)) and not isinstance(factor, bool)
        if not is_number or not 0.0 <= factor < math.inf:
            raise DataError(
                f"{where} must hold finite factors ≥ 0, got {json.dumps(factor)[:40]} for {quoted(label)}."
            )
    return {label: float(factor) for label, factor in factors.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, or raise a `ValueError` if a key is repeated."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is repeated")
    return found


def factors_by_class(
    factors: dict[str, float] | str | None, classes: NDArray[Any], option: str | None
) -> dict[Any, float] | str | None:
    """Return the factors by label of the data, which are compared with those of the file as text."""
    if not isinstance(factors, dict):
        return factors
    labels = {str(label): label for label in classes.tolist()}
    unknown = next((label for label in factors if label not in labels), None)
    if unknown is not None:
        known = ", ".join(map(repr, list(labels)[:5])) + (", …" if len(labels) > 5 else "")
        raise DataError(
            f"{printable(option or '')} must have labels of the data ({known}), got {quoted(unknown)}."
        )
    return {labels[label]: factor for label, factor in factors.items()}


def factors_of_shards(
    factors: dict[str, float] | str | None, shards: Shards, option: str | None
) -> dict[Any, float] | str | None:
    """Return the factors by label of shards, whose first label tells whether labels are integers."""
    if not isinstance(factors, dict):
        return factors
    first = next(part for part in shards.parts if part.n_rows).labels(slice(0, 1))
    found: dict[Any, float] = dict(factors)
    if first.dtype.kind in "iu":
        wrong = next((label for label in factors if not re.fullmatch(r"-?[0-9]{1,18}", label)), None)
        if wrong is not None:
            raise DataError(
                f"{printable(option or '')} must have labels of the data, which are integers, got {quoted(wrong)}."
            )
        found = {int(label): factor for label, factor in factors.items()}
    return found


def limited(data: Dataset, limit: int, seed: int) -> NDArray[Any]:
    """Return the row numbers of ``--limit``: a share of each class, at least one row, by the hash of the content.

    Row r of a class of n rows, in the order of the hashes, has the rank r / n; the rows of the lowest ranks are
    taken. The choice depends on the content of the rows and the seed, and not on the order of the rows.
    """
    import numpy as np

    from softmargin.selection import content_hashes

    assert data.y is not None, "the caller checked that there are labels"
    _, codes, counts = np.unique(data.y, return_inverse=True, return_counts=True)
    if limit < len(counts):
        raise ParameterError(f"--limit must be at least the number of classes, {len(counts)}, got {limit}.")
    hashes = content_hashes(data.X if data.keys is None else data.keys, seed)
    order = np.lexsort((hashes, codes))
    starts = np.cumsum(counts) - counts
    ranks = (np.arange(len(order)) - np.repeat(starts, counts)) / np.repeat(counts, counts)
    taken = order[np.lexsort((hashes[order], ranks))[:limit]]
    return np.sort(taken)
