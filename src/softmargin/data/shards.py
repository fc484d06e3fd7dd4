"""Data sets of one or several files that are read part by part: only headers and metadata are read here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from softmargin.arguments import check_choice
from softmargin.data.array_shards import array_shards
from softmargin.data.dataset import ReadOptions
from softmargin.data.frames import PARQUET
from softmargin.data.npy import labels_beside, shard_files
from softmargin.data.options import check_columns
from softmargin.data.parquet_shards import parquet_shards
from softmargin.data.parts import TEST, TRAIN
from softmargin.data.table_folders import tables_of
from softmargin.errors import DataError, ParameterError
from softmargin.io.paths import check_path, same_file
from softmargin.shards import Shards
from softmargin.text import printable

__all__ = ["has_test_shards", "open_for_model", "open_shards", "output_names"]

_FORMATS = (".npy", ".npz", ".parquet")


def open_shards(
    source: str | os.PathLike[str],
    *,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
    weights_column: str | None = None,
    mapped: bool = True,
    labelled: bool = True,
    spool: str | os.PathLike[str] | None = None,
    part: str = TRAIN,
) -> Shards:
    """Open a folder of shards, or one file, for the engines "chunked" and "dask".

    A shard is a ``.npy`` file of features, a ``.npz`` file with a CSR matrix (of ``scipy.sparse.save_npz``), or a
    parquet file with columns of numbers, or with one column of lists. All shards of a folder have one format, and
    the same number and type of features. They are read in the order of their names (2 before 10). Of shards for
    training and for testing, only those of one ``part`` are opened. Only headers are read. All workers of a
    cluster must see the same paths.

    Labels of ``NAME.npy`` and ``NAME.npz`` come from a file beside it: ``NAME_y.npy``, or another name that
    `load_dataset` finds. Those of parquet files are in a column.

    Parameters
    ----------
    source : path-like
    label_column : str, optional
        Only for parquet files: the column of labels. By default it is found by its name, or it is the only column
        of text.
    columns : sequence of str, optional
        Only for parquet files: the feature columns, in this order. By default these are all columns except labels,
        weights and ids, and a column that does not hold numbers is an error.
    weights_column : str, optional
        Only for parquet files: a column of sample weights, which must be 0 or lie in 1e-100 … 1e100.
    mapped : bool, default True
        Whether to map ``.npy`` files, and those in ``spool``, instead of reading their rows into memory. Workers
        must then have no memory limit. Rows of CSR matrices are always read into memory, and so are those of
        parquet files without ``spool``.
    labelled : bool, default True
        Whether labels are required. Shards without labels are for predictions only.
    spool : path-like, optional
        Only for parquet files: a folder of each worker, best on its own disk. A file is decoded once,
        into ``.npy`` files in this folder, and then mapped. They stay there for later fits, until you remove them.
    part : {"train", "test"}, default "train"
        Which shards to open, if names with the words ``train`` and ``test`` tell them apart.

    Returns
    -------
    Shards
        What `Objective` and `LinearClassifier` take as X, with None as y. A parquet file of more than 1 GB of
        decoded features is divided into several parts of whole row groups.

    Raises
    ------
    CapabilityError
        If pyarrow is not installed, for parquet files.
    DataError
        If a file is damaged or lacks labels, or shards differ in the number or the type of their features.
    ParameterError
        If a column is missing, or an option does not apply to the format.
    """
    path, part = Path(check_path(source)), check_choice("part", part, (TRAIN, TEST))
    files, suffix = _files(path, part)
    folder = None if spool is None else os.path.abspath(check_path(spool, "spool"))
    if suffix == ".parquet":
        if folder is not None and same_file(folder, path):
            raise ParameterError("spool must not be the folder of the data; give another folder.")
        options = ReadOptions(
            label_column=label_column, columns=check_columns(columns), weights_column=weights_column,
            only_features=not labelled,
        )  # fmt: skip
        shards = parquet_shards(files, options, mapped=mapped, spool=folder)
    else:
        given = {
            "label_column": label_column,
            "columns": columns,
            "weights_column": weights_column,
            "spool": spool,
        }
        if unused := [name for name, value in given.items() if value is not None]:
            raise ParameterError(f"{unused[0]}= needs shards that are parquet files, got {suffix} files.")
        shards = array_shards(files, sparse=suffix == ".npz", mapped=mapped, labelled=labelled)
    if shards.n_samples == 0:
        raise DataError(f"{printable(path)} must have rows, got none.")
    return shards


def open_for_model(
    source: str | os.PathLike[str],
    feature_names: Sequence[str] | None,
    label_column: str | None,
    labelled: bool = False,
    part: str = TRAIN,
) -> Shards:
    """Open shards for a model: the features of tables are found by their names in it."""
    if _files(Path(check_path(source)), part)[1] != ".parquet":
        return open_shards(source, labelled=labelled, part=part)
    return open_shards(source, labelled=labelled, columns=feature_names, label_column=label_column, part=part)


def has_test_shards(source: str | os.PathLike[str]) -> bool:
    """Return whether a folder has shards for testing beside those for training."""
    path = Path(check_path(source))
    return path.is_dir() and any(_in_folder(path, TEST).values())


def output_names(shards: Shards) -> list[str]:
    """Return a unique name for each part: that of its file without suffix, with a number if several have it."""
    stems = [os.path.splitext(os.path.basename(part.name))[0] for part in shards.parts]
    counts, names = Counter(stems), list[str]()
    taken = {stem for stem, n in counts.items() if n == 1}
    for stem in stems:
        name, k = stem, 0
        while counts[stem] > 1 and (k == 0 or name in taken):
            k += 1
            name = f"{stem}-{k}"
        taken.add(name)
        names.append(name)
    return names


def _in_folder(path: Path, part: str) -> dict[str, list[Path]]:
    """Return the shards of a part by their format."""
    found = {suffix: shard_files(path, suffix)[part == TEST] for suffix in (".npy", ".npz")}
    if found[".npz"]:  # beside files of labels
        labels = {labels_beside(file.with_suffix(".npy")) for file in found[".npz"]}
        found[".npy"] = [file for file in found[".npy"] if file not in labels]
    return found | {".parquet": tables_of(path, PARQUET, part)}


def _files(path: Path, part: str) -> tuple[list[Path], str]:
    """Return the files to open and their format."""
    if path.is_dir():
        found = _in_folder(path, part)
    else:
        suffix = ".parquet" if path.suffix.lower() in PARQUET else path.suffix.lower()
        found = {suffix: [path]} if suffix in _FORMATS else {}
    formats = [suffix for suffix, files in found.items() if files]
    if not path.exists():
        raise DataError(f"{printable(path)} does not exist.")
    if len(formats) != 1:
        got = " and ".join(formats) or "none"
        wanted = f"{'test ' if part == TEST else ''}shards of one format ({', '.join(_FORMATS)})"
        raise DataError(
            f"{printable(path)} must hold {wanted}, got {got}; give a folder or file of one format, or convert it."
        )
    return found[formats[0]], formats[0]
