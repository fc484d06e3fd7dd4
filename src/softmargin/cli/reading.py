"""The models and data that commands read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmargin.cli.progress import Progress
from softmargin.cli.wording import say_err
from softmargin.errors import DataError, ModelFileError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["Reading", "check_data_for", "labels_of", "read_data", "read_for_model", "read_model"]


@dataclass(frozen=True)
class Reading:
    """How DATA is to be read: the options of `softmargin.cli.options.reading`."""

    labels: str | None = None
    label: str | None = None
    columns: str | None = None

    def options(self) -> dict[str, Any]:
        """Return them as `softmargin.load_dataset` takes them."""
        names = self.columns if self.columns is None else [name.strip() for name in self.columns.split(",")]
        return {"labels": self.labels, "label": self.label, "columns": names}

    def arguments(self) -> list[str]:
        """Return what was given, as it stands on the command line."""
        given = {"--labels": self.labels, "--label": self.label, "--columns": self.columns}
        return [word for name, value in given.items() if value is not None for word in (name, value)]


def read_model(source: str) -> Model:
    """Read MODEL; to have DATA in its place is the usual slip."""
    from softmargin.model import load_model

    if source == "digits" or Path(source).suffix in (".npy", ".npz") or os.path.isdir(source):
        raise ModelFileError(f"{source} is not a model file: MODEL comes first, then DATA.")
    return load_model(source)


def read_data(source: str, reading: Reading, progress: Progress, **options: Any) -> Dataset:
    """Read DATA, with progress, and print what was decided on the user's behalf.

    ``options`` are those of `softmargin.load_dataset` and go before ``reading``.
    """
    from softmargin.data import load_dataset

    progress("reading")
    options = {**reading.options(), "progress": lambda done, total, what: progress(what, done, total), **options}
    data = load_dataset(source, **options)
    for note in data.notes:
        say_err(f"Note: {note}.")
    return data


def read_for_model(source: str, model: Model, reading: Reading, progress: Progress, part: str = "auto") -> Dataset:
    """Read DATA as the model needs it, and take the part that was set aside for testing if there is one."""
    from softmargin.data import options_of

    own, options = options_of(source), dict[str, Any]()
    if "image_size" in own:
        options["image_size"] = model.image_size
    if "image_channels" in own and model.image_shape is not None:
        options["image_channels"] = model.image_shape[2]
    if "n_features" in own:
        options["n_features"] = model.n_features
    if "columns" in own and reading.columns is None:
        options["columns"] = model.feature_names
    data = read_data(source, reading, progress, **options)
    check_data_for(model, data, source)
    if part == "test" and data.test is None:
        raise ParameterError(f"{source} has no part set aside for testing: leave out --part test.")
    if part == "train" or data.test is None:
        return data
    if part == "auto":
        say_err(f"Note: using the {data.test.n_samples:,} samples of {source} that are set aside for testing.")
    return data.test


def check_data_for(model: Model, data: Dataset, source: str) -> None:
    """Raise an error unless images have the model's size and features its names, where both have them."""
    if model.image_shape is not None and data.image_shape not in (None, model.image_shape):
        found, wanted = ("x".join(map(str, shape)) for shape in (data.image_shape or (), model.image_shape))
        raise DataError(
            f"{source} has images of {found} (height x width x channels), but this model was trained on {wanted}; "
            f"a model that was trained with --image-size brings them to its size itself."
        )
    if model.feature_names is None or data.feature_names in (None, model.feature_names):
        return
    names = data.feature_names or ()
    pairs = zip(names, model.feature_names, strict=False)
    if len(names) == model.n_features:
        k, (found, wanted) = next((k, pair) for k, pair in enumerate(pairs) if pair[0] != pair[1])
        raise DataError(f"{source} has {found!r} as its feature {k}, where this model was trained on {wanted!r}.")


def labels_of(data: Dataset, source: str) -> Any:
    """Return the labels, of which there must be some; else raise an error that says how to give them."""
    if data.y is None:
        raise DataError(
            f"{source} has no labels: give them with --labels FILE (for features) or --label COLUMN (for a "
            f"table), as y in a .npz file, or as one folder for each class of images."
        )
    if len(data.y) == 0:
        raise DataError(f"{source} holds no samples.")
    return data.y
