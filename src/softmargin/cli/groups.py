"""The groups of samples: a column of a table, or a file with one group per sample."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from softmargin.cli.reading import Reading, extractor_for
from softmargin.cli.sampling import read_groups
from softmargin.errors import DataError, ParameterError
from softmargin.text import quoted

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["groups_of"]

_OF_GROUPS = {
    " for the label;": " for the groups;",
    "labels must be": "groups must be",
    "label_column= must be": "it must be",
}
"""What messages about a column of labels become for a column of groups."""


def groups_of(groups: str, source: str, data: Dataset, model: Model, reading: Reading, part: str) -> Any:
    """Return the group of each sample of ``data``, the part of DATA that the command uses.

    Parameters
    ----------
    groups : str
        A file (.npy, or .txt or .csv with one group per line), or else a column of the table DATA.
    source : str
        DATA.
    data : Dataset
    model : Model
    reading : Reading
    part : str
        The option ``--part``.
    """
    from softmargin.data import options_of

    if os.path.isfile(groups):
        return read_groups(groups, data.n_samples, f"samples of {source}")
    if "label_column" not in options_of(source):
        raise ParameterError(
            f"--metric-groups must be a file unless DATA is a table, got {quoted(groups)}, which does not exist."
        )
    whole = _read_column(groups, source, data, model, reading)
    found = whole if part == "train" or whole.test is None else whole.test
    if found.y is None or found.n_samples != data.n_samples:
        raise DataError(f"The test set of {source} must have the column {quoted(groups)} of --metric-groups.")
    return found.y


def _read_column(column: str, source: str, data: Dataset, model: Model, reading: Reading) -> Dataset:
    """Read the table again, with this column as the label."""
    from softmargin.data import load_dataset
    from softmargin.data.tables import ADVICE

    wanted: dict[str, Any] = {"label_column": column}
    extractor = extractor_for(model, reading) if data.extractor is not None else None
    if extractor is not None:
        wanted |= {"features": extractor, "cache": not reading.no_cache, "text": data.text}
    elif data.feature_names is not None:  # a single one is enough, and it must be another column
        wanted["columns"] = [name for name in data.feature_names if name != column][:1] or None
    try:
        return load_dataset(source, **wanted)
    except (DataError, ParameterError) as error:
        reason = str(error)
        for text, instead in ({ADVICE: ""} | _OF_GROUPS).items():
            reason = reason.replace(text, instead)
        raise DataError(f"--metric-groups {column}: {reason}") from error
