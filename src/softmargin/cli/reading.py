"""The models and data that commands read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmargin.cli.progress import Progress
from softmargin.cli.wording import say_err
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.text import pluralize

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.features import FeatureExtractor
    from softmargin.model import Model

__all__ = [
    "Reading", "check_classes", "check_data_for", "check_extractor", "check_origin", "describe", "extractor_for",
    "files_of", "labels_of", "naming", "part_of", "read_data", "read_for_model", "read_model",
]  # fmt: skip

_FEW_SAMPLES = 10
"""Of so few samples, each may be of its own class."""


@dataclass(frozen=True)
class Reading:
    """How to read DATA: the options of `softmargin.cli.options.reading`."""

    labels_file: str | None = None
    label_column: str | None = None
    columns: str | None = None
    header: bool | None = None
    decimal: str | None = None
    encoding: str | None = None
    keep_counters: bool = False
    text: str | None = None
    no_cache: bool = False
    backbone: str | None = None
    skip_damaged: bool = False

    def options(self) -> dict[str, Any]:
        """Return them as arguments of `softmargin.load_dataset`."""
        names = None
        if self.columns is not None:
            names = [name.strip() for name in self.columns.split(",")] if self.columns.strip() else []
        return {
            "labels_file": self.labels_file,
            "label_column": self.label_column,
            "columns": names,
            "text": self.text,
            "skip_damaged": self.skip_damaged,
            "keep_counters": self.keep_counters or None,
            **self.format(),
        }

    def format(self) -> dict[str, Any]:
        """Return the options that say how a text table is written."""
        return {"header": self.header, "decimal": self.decimal, "encoding": self.encoding}

    def arguments(self) -> list[str]:
        """Return those that were given, as arguments of the command line."""
        given = {
            "--labels-file": self.labels_file, "--label-column": self.label_column, "--columns": self.columns,
            "--decimal": self.decimal, "--encoding": self.encoding, "--text": self.text,
            "--features": self.backbone,
        }  # fmt: skip
        flags = {"--header": self.header is True, "--no-header": self.header is False}
        flags |= {"--keep-counters": self.keep_counters, "--skip-damaged": self.skip_damaged}
        words = [word for name, value in given.items() if value is not None for word in (name, value)]
        return words + [name for name, is_given in flags.items() if is_given]


def read_model(source: str) -> Model:
    """Read MODEL; a common mistake is to give DATA first."""
    from softmargin.model import load_model

    if source == "digits" or Path(source).suffix in (".npy", ".npz") or os.path.isdir(source):
        raise ModelFileError(f"{source} is not a model file: MODEL comes first, then DATA.")
    return load_model(source)


def read_data(
    source: str, reading: Reading, progress: Progress, *, labelled: bool = False, **options: Any
) -> Dataset:
    """Read DATA with progress, and print the reader's notes.

    If ``labelled``, a table without labels is an error, before its notes, which are about the same columns.
    ``options`` are those of `softmargin.load_dataset` and override ``reading``.
    """
    from softmargin.data import load_dataset, options_of

    progress("reading")
    options = {**reading.options(), "progress": lambda done, total, what: progress(what, done, total), **options}
    data = load_dataset(source, **options)
    if labelled and "label_column" in options_of(source):
        labels_of(data, source)
    for note in data.notes:
        say_err(f"Note: {note}.")
    return data


def read_for_model(
    source: str,
    model: Model,
    reading: Reading,
    progress: Progress,
    *,
    labelled: bool = True,
    weighted: bool = False,
) -> Dataset:
    """Read DATA as the model needs it; its features are computed unless DATA is a file of features.

    If ``labelled``, labels are read as the classes of the model, and the label column is that of the fit unless
    another one is given. Otherwise the test set needs no labels. If ``weighted``, the sample weights are those of
    the fit.
    """
    from softmargin.data import holds_arrays, options_of

    labels: dict[str, Any] = {"classes": model.classes} if labelled else {"only_features": True}
    own, extractor = options_of(source), extractor_for(model, reading)
    if weighted and model.weights_column is not None and "weights_column" in own:
        labels["weights_column"] = model.weights_column
    if labelled and reading.label_column is None and "label_column" in own:
        reading = replace(reading, label_column=model.label_column)
    if extractor is not None:
        options: dict[str, Any] = labels | ({"text": reading.text or model.text} if "text" in own else {})
        if not holds_arrays(source):
            options |= {"features": extractor, "cache": not reading.no_cache}
        data = read_data(source, reading, progress, **options)
        if data.extractor is None and data.image_shape is not None:  # arrays of pixels
            options |= {"features": extractor, "cache": not reading.no_cache}
            data = read_data(source, reading, progress, **options)
        check_origin(extractor, data, source)
        return data
    wanted: dict[str, Any] = {"image_size": model.image_size, "n_features": model.n_features}
    wanted["keep_counters"] = True  # the features are those of the model
    if model.image_shape is not None:
        wanted["image_channels"] = model.image_shape[2]
    if reading.columns is None:
        wanted["columns"] = model.feature_names
    data = read_data(source, reading, progress, **labels, **{name: wanted[name] for name in own & wanted.keys()})
    check_data_for(model, data, source)
    return data


def extractor_for(model: Model, reading: Reading) -> FeatureExtractor | None:
    """Return the extractor of a model, with the backbone from the file that the user gave, if any."""
    if reading.backbone is None:
        return model.extractor
    if model.extractor is None:
        raise ParameterError(
            "--features is for a model of pictures or texts, but this model takes the data as is."
        )
    return model.extractor.relocated(reading.backbone)


def files_of(extractor: FeatureExtractor | None) -> list[str]:
    """Return the files that an extractor reads."""
    return [] if extractor is None else extractor.files()


def check_origin(extractor: FeatureExtractor, data: Dataset, source: str) -> None:
    """Raise an error if a file of features was made by another extractor."""
    from softmargin.features import extractor_of

    check_extractor(extractor, None if data.stored is None else extractor_of(data), source)


def check_extractor(extractor: FeatureExtractor, made_by: FeatureExtractor | None, source: str) -> None:
    """Raise an error if another extractor than that of the model made the features."""
    if made_by is not None and made_by.identity() != extractor.identity():
        raise DataError(
            f"{source} must hold features of {extractor.describe()} as in training, got features of "
            f"{made_by.describe()} (identity {made_by.identity()[:12]}, not {extractor.identity()[:12]})."
        )


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the name of DATA before the message of a `DataError`."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def part_of(data: Dataset, source: str, part: str) -> Dataset:
    """Return the part to use, "train", "test" or "auto": the test set if there is one."""
    if part == "test" and data.test is None:
        raise ParameterError(f"{source} has no test set; omit --part test.")
    if part == "train" or data.test is None:
        return data
    if part == "auto":
        say_err(f"Note: using the test set of {source} ({pluralize(data.test.n_samples, 'sample')}).")
    return data.test


def check_data_for(model: Model, data: Dataset, source: str) -> None:
    """Raise an error if image sizes or feature names differ from those of the model."""
    if model.image_shape is not None and data.image_shape not in (None, model.image_shape):
        found, wanted = ("x".join(map(str, shape)) for shape in (data.image_shape or (), model.image_shape))
        raise DataError(
            f"{source} must have images of {wanted} (height x width x channels) as in training, got {found}; a "
            f"model trained with --image-size resizes images to its size."
        )
    names, trained = data.feature_names or (), model.feature_names or ()
    if len(names) == len(trained):
        for k, (name, expected) in enumerate(zip(names, trained, strict=True)):
            if name != expected:
                raise DataError(f"Feature {k} of {source} must be {expected!r} as in training, got {name!r}.")


def describe(data: Dataset) -> dict[str, Any]:
    """Return name, size, type, classes and fingerprint of data as plain values."""
    import numpy as np

    labels, counts = np.unique([] if data.y is None else data.y, return_counts=True)
    record = {name: getattr(data, name) for name in ("name", "n_samples", "n_features", "image_shape")}
    classes = dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True))
    return record | {"dtype": str(data.X.dtype), "classes": classes, "fingerprint": data.fingerprint()}


def check_classes(y: Any, source: str) -> None:
    """Check that labels are classes, before the work.

    More classes than half the samples are reported on stderr.

    Raises
    ------
    DataError
        Each of more than ten samples has its own label.
    """
    import numpy as np

    n_classes, advice = len(np.unique(y)), "choose another column with --label-column"
    if n_classes == len(y) > _FEW_SAMPLES:
        raise DataError(
            f"{source} has a different label for each of its {len(y):,} samples, like identifiers or the target "
            f"of a regression; {advice}."
        )
    if 2 * n_classes > len(y) > _FEW_SAMPLES:
        say_err(
            f"Note: {source} has {n_classes:,} classes for {len(y):,} samples, like the target of a regression; "
            f"if the labels are not classes, {advice}."
        )


def _no_labels(data: Dataset, source: str) -> str:
    """Return why data have no labels, and what to do for this kind of file."""
    from softmargin.data import options_of
    from softmargin.data.tables import NO_LABEL

    reason = next((note for note in data.notes if note.startswith(NO_LABEL)), None)
    if reason is not None:
        return reason
    own = options_of(source)
    if "label_column" in own:
        return "no labels; name their column with --label-column COLUMN"
    if "labels_file" in own:
        inside = (
            "" if source.lower().endswith(".npy") or os.path.isdir(source) else ", or as the array y of the file"
        )
        return f"no labels; give them with --labels-file FILE{inside}"
    return "no labels; give one folder of images per class" if "image_size" in own else "no labels"


def labels_of(data: Dataset, source: str) -> Any:
    """Return the labels; raise an error if there are none."""
    if data.y is None:
        raise DataError(f"{source} has {_no_labels(data, source)}.")
    if len(data.y) == 0:
        raise DataError(f"{source} contains no samples.")
    return data.y
