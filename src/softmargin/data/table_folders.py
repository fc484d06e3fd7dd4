"""Folders of tables: ``train.csv`` with ``test.csv``, ``data/train-*.parquet``, ``split=train/``, or shards."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softmargin.data import frames, images
from softmargin.data import text as csv
from softmargin.data.dataset import Dataset, ReadOptions, join_parts
from softmargin.data.files import left_out, natural_order
from softmargin.data.labels import labels_like
from softmargin.data.parts import TEST, TRAIN, VALIDATION, Candidate, choose_test, is_plain_word, part_of_name
from softmargin.data.tables import LABELS
from softmargin.errors import DataError, ParameterError
from softmargin.text import pluralize, printable, some_of

__all__ = ["FORMAT", "OPTIONS", "accepts", "read", "tables_of"]

FORMAT = "a folder of tables"
OPTIONS = csv.OPTIONS | frames.OPTIONS
_TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_DEEPEST = 3
_MOST_NAMED = 5


class _Found(NamedTuple):
    """A table in a folder: its part, if its path names one, and the folders that tell it from others."""

    path: Path
    part: str | None
    place: str


def accepts(path: Path) -> bool:
    """Return whether the source is a folder with tables; tables of text may not lie beside images."""
    if not path.is_dir():
        return False
    files = list(_walk(path, 0, (*_TEXT, *frames.SUFFIXES)))
    is_columnar = any(file.name.lower().endswith(frames.SUFFIXES) for file in files)
    return is_columnar or (bool(files) and next(_walk(path, -_DEEPEST, tuple(images.SUFFIXES)), None) is None)


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read the tables of a folder: those of the training part, joined, with those of the test part.

    The part of a file is named by the file or by a folder around it (see `softmargin.data.parts`). Without such
    names all files are shards of one table. Validation data are the test set if there is no labelled test part,
    else they are left out, as are submissions.

    Raises
    ------
    DataError
        The files differ in their columns or formats, or it is not clear which of them belong together.
    """
    main, groups, extra = _groups(path, (*_TEXT, *frames.SUFFIXES))
    data = _read_group(path, groups.pop(main), options)
    if main not in (TRAIN, None):
        data = replace(data, notes=(f"only the part {main} was found", *data.notes))
    candidates = [
        Candidate(part, _name_of(path, group), lambda group=group: _test(path, group, data, options))  # type: ignore[misc]
        for part, group in groups.items()
        if part in (TEST, VALIDATION) and main in (TRAIN, None)
    ]
    test, notes, unused = choose_test(data, candidates, labelled=not options.only_features)
    if None in groups:
        extra += groups[None]
    unused += [printable(one.path.relative_to(path)) for one in extra]
    return replace(data, name=_short(path), test=test, notes=(*data.notes, *notes, *left_out(path, unused)))


def tables_of(path: Path, suffixes: tuple[str, ...], part: str = TRAIN) -> list[Path]:
    """Return the tables of the training or the test part of a folder, in the order of their names; may be none.

    Raises
    ------
    DataError
        It is not clear which tables belong together.
    """
    if next(_walk(path, 0, suffixes), None) is None:
        return []
    main, groups, _ = _groups(path, suffixes)
    if part == TEST:
        return _in_one_place(path, groups[TEST]) if TEST in groups and main != TEST else []
    return _in_one_place(path, groups[main])


def _groups(
    path: Path, suffixes: tuple[str, ...]
) -> tuple[str | None, dict[str | None, list[_Found]], list[_Found]]:
    """Return the part that is the training data, the tables of each part, and submissions."""
    found = [_found(path, file) for file in _walk(path, 0, suffixes)]
    found = sorted(found, key=lambda one: natural_order(one.path.relative_to(path).as_posix()))
    extra = [one for one in found if "submission" in one.path.name.lower()]
    found = [one for one in found if one not in extra]
    if not found:
        raise DataError(f"{printable(path)} must hold a table, got only {printable(extra[0].path.name)}.")
    parts = {one.part for one in found}
    main = next(part for part in (TRAIN, None, TEST, VALIDATION) if part in parts)
    return main, {part: [one for one in found if one.part == part] for part in parts}, extra


def _walk(folder: Path, depth: int, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the visible files with these suffixes, at most three folders deep."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith((".", "_")):
                continue
            if entry.is_dir(follow_symlinks=False):
                inner.append(Path(entry.path))
            elif entry.name.lower().endswith(suffixes) and entry.is_file():
                yield Path(entry.path)
    if depth < _DEEPEST:
        for one in inner:
            yield from _walk(one, depth + 1, suffixes)


def _found(root: Path, file: Path) -> _Found:
    """Return the part and the place of a file; a partition by a column of labels is an error."""
    *folders, name = file.relative_to(root).parts
    parts = [part_of_name(word) for word in (*folders, name)]
    part = next((part for part in reversed(parts) if part), None)
    for folder in folders:
        key, equals, _ = folder.partition("=")
        if equals and key.lower() in LABELS:
            raise DataError(
                f"{printable(root)} must have its labels in a column, got the folder {printable(folder)}; load it "
                f"with pyarrow.dataset, and save it as one file."
            )
    place = "/".join(folder for folder in folders if not (is_plain_word(folder) or "=" in folder))
    return _Found(file, part, place)


def _read_group(root: Path, group: list[_Found], options: ReadOptions) -> Dataset:
    """Read the files of one part as one table."""
    files = _in_one_place(root, group)
    is_text = [file.name.lower().endswith(_TEXT) for file in files]
    if len(set(is_text)) > 1:
        names = _some([file.name for file in files])
        raise DataError(
            f"{printable(root)} has tables of several formats ({names}); give one of them as the data."
        )
    data = _read_texts(root, files, options) if is_text[0] else frames.read_shards(files, _short(root), options)
    if len(files) == 1:
        return data
    joined = f"{pluralize(len(files), 'shard')} of {printable(_short(root))} joined in the order of their names"
    return replace(data, notes=(joined, *data.notes))


def _in_one_place(root: Path, group: list[_Found]) -> list[Path]:
    """Return the files of a part, or raise a `DataError` if they are in folders that tell them apart."""
    places = list(dict.fromkeys(one.place for one in group))
    if len(places) > 1:
        raise DataError(
            f"{printable(root)} has tables in several folders ({_some(places)}); give one of them as the data."
        )
    return [one.path for one in group]


def _read_texts(root: Path, files: list[Path], options: ReadOptions) -> Dataset:
    parts = [csv.read(files[0], options)]
    for file in files[1:]:
        try:
            part = csv.read(file, options)
        except ParameterError as error:
            raise _differs(root, files) from error
        first = parts[0]
        if (part.feature_names, part.label_column) != (first.feature_names, first.label_column):
            raise _differs(root, files)
        parts.append(part)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return replace(join_parts(parts), notes=notes)


def _differs(root: Path, files: list[Path]) -> DataError:
    names = _some([file.relative_to(root).as_posix() for file in files])
    return DataError(
        f"{printable(root)} has {len(files)} tables with different columns ({names}); give one as the data, "
        f"or name the parts train and test."
    )


def _test(root: Path, group: list[_Found], data: Dataset, options: ReadOptions) -> Dataset | None:
    """Read a test part by the columns of the training data, or return None if it lacks the labels to be read."""
    more = replace(options, label_column=data.label_column or options.label_column)
    if data.feature_names is not None:
        more = replace(more, columns=data.feature_names)
    if options.only_features:
        return replace(_read_group(root, group, more), name=f"{_short(root)} (test)", notes=())
    try:
        test = _read_group(root, group, more)
    except ParameterError:  # the column of labels is missing
        return None
    if test.y is None or data.y is None or (data.label_column is None and options.label_column is None):
        return None
    y, _ = labels_like(test.y, np.unique(data.y), printable(group[0].path))
    return replace(test, y=y, name=f"{_short(root)} (test)", notes=())


def _name_of(root: Path, group: list[_Found]) -> str:
    """Return the file of a part or, of several files, their folder or the first with "…"."""
    first = group[0].path.relative_to(root).as_posix()
    return first if len(group) == 1 else f"{first} and {pluralize(len(group) - 1, 'more file')}"


def _short(root: Path) -> str:
    return Path(os.path.abspath(root)).name or "tables"


def _some(names: list[str]) -> str:
    return some_of(names, _MOST_NAMED, lambda name: printable(name) or ".")
