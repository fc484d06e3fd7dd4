"""The model: weights, classes, preprocessing and metadata, saved without any code.

A model file is a safetensors file with the tensors W, b, preprocessing.mean and preprocessing.scale. All other
fields are metadata (JSON text); see ``softmargin/io/safetensors.py``.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin._version import __version__
from softmargin.arguments import check_choice
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.io.safetensors import encode_record
from softmargin.losses import LOSSES, CrossEntropy, Loss, softmax
from softmargin.model import checks, exports
from softmargin.model.file import write_file
from softmargin.model.parts import Parts
from softmargin.model.predict import checked_features, fill_from_scores
from softmargin.notebook import table
from softmargin.preprocessing import ROWS, SCALINGS, Preprocessing
from softmargin.text import to_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from softmargin.features import FeatureExtractor

__all__ = ["FURTHER", "LEARNED", "METADATA_FIELDS", "Model"]

Floats = NDArray[np.float64]

_MOST_CLASSES = 10
"""Number of classes in the table for notebooks."""


def _versions() -> dict[str, str]:
    return {"softmargin": __version__, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Model:
    """A multiclass linear classifier with its metadata. Scores are ``x @ W + b`` for raw features x.

    If ``preprocessing.rows`` is "l2", x is first divided by its Euclidean length, as in the fit.

    Attributes
    ----------
    W : ndarray of shape (D, C), float64
        Weights for raw features, with the preprocessing folded in. Read-only, like all arrays of a model.
    b : ndarray of shape (C,), float64
    classes : ndarray of shape (C,)
        The label of each column of W: strings, int64, uint64, bool or float64.
    loss : Loss
        One of the losses in ``softmargin.losses.LOSSES``.
    reg : float
        λ, the factor of ΣW² (of the weights for preprocessed features).
    preprocessing : Preprocessing
        The preprocessing that was folded into W and b.
    value, lower_bound, gap, tol : float
        F at the solution, the certified lower bound on its minimum, the relative gap between them, and the
        tolerance on the gap.
    converged : bool
        Whether gap ≤ tol.
    n_passes : int
        Number of passes over X.
    seconds : float
        Wall time of the fit.
    n_samples : int
        Number of training samples.
    fingerprint : str
        ``Dataset.fingerprint`` of the training data.
    image_shape : tuple of int (height, width, channels), or None
        Each row of X is an image of this shape, flattened in C order.
    image_size : tuple of int (height, width), or None
        Size to which images were resized when they were read.
    feature_names : tuple of str, or None
    extractor : FeatureExtractor, or None
        What computes the features from pictures or texts. Its learned arrays are in the model file; of a backbone,
        the model knows the SHA-256.
    text : str, or None
        The column of texts in the table that the model was trained on.
    label_column : str, or None
        The column of its labels: its name, or its position from 0 if the columns have no names.
    groups_column, weights_column : str, or None
        The columns of its groups and sample weights, if the command line made it with them.
    command : str
        The command line that made the model, quoted for a shell; "" if it was made in Python.
    data_name : str
    versions : dict of str to str
        Versions of the packages that made the model.
    created : str
        Time in ISO 8601, UTC.
    selection : dict
        The `Comparison` record of how loss and reg were selected; {} if the user gave them. Stored as JSON values:
        tuples become lists, and numbers that are not finite the strings "inf", "-inf" and "nan".
    history : dict
        The steps of the fit; {} if they were not kept. Lists of equal length, named as the fields of a `Step`:
        ``n_passes``, ``seconds``, ``value``, ``lower_bound``, ``estimate``. Stored like ``selection``.

    Raises
    ------
    DataError
        If shapes do not match, numbers are not finite, or classes are repeated or of another type.
    ParameterError
        If the loss is not registered, ``selection`` contains a value that JSON cannot store, or the fields are
        inconsistent. An example is a converged fit whose gap exceeds tol.
    """

    W: Floats
    b: Floats
    classes: NDArray[Any]
    loss: Loss
    reg: float
    preprocessing: Preprocessing
    value: float
    lower_bound: float
    gap: float
    tol: float
    converged: bool
    n_passes: int
    seconds: float
    n_samples: int
    fingerprint: str
    image_shape: tuple[int, int, int] | None = None
    image_size: tuple[int, int] | None = None
    feature_names: tuple[str, ...] | None = None
    extractor: FeatureExtractor | None = None
    text: str | None = None
    label_column: str | None = None
    groups_column: str | None = None
    weights_column: str | None = None
    command: str = ""
    data_name: str = ""
    versions: dict[str, str] = field(default_factory=_versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    selection: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if LOSSES.get(self.loss.name) is not type(self.loss):
            raise ParameterError(
                f"loss must be one of {', '.join(LOSSES)} to be saved in a model, got {type(self.loss).__name__}."
            )
        W = checks.frozen("W", self.W)
        if W.ndim != 2 or W.shape[0] < 1 or W.shape[1] < 2:
            raise DataError(f"W must have shape (D ≥ 1, C ≥ 2), got {W.shape}.")
        D, C = W.shape
        scaling, mean, scale, rows = self.preprocessing
        mean, scale = checks.frozen("mean", mean, (D,)), checks.frozen("scale", scale, (D,))
        settings = {
            "W": W,
            "b": checks.frozen("b", self.b, (C,)),
            "classes": checks.checked_classes(self.classes, C),
            "preprocessing": Preprocessing(scaling, mean, scale, rows),
            "selection": to_json(self.selection, repr),
            "history": checks.checked_history(self.history),
            **checks.checked_record(self),
        }
        check_choice("scaling", scaling, [name for name in SCALINGS if name != "auto"])
        check_choice("rows", rows, ROWS)
        for name, setting in settings.items():
            object.__setattr__(self, name, setting)
        if self.image_shape is not None and math.prod(self.image_shape) != D:
            raise DataError(f"image_shape must have {D} elements, one per feature, got {self.image_shape}.")
        if self.feature_names is not None and len(self.feature_names) != D:
            raise DataError(f"feature_names must have {D} names, one per feature, got {len(self.feature_names)}.")

    def __repr__(self) -> str:
        """Return sizes, loss and gap."""
        sizes = f"{self.n_features:,} features, {self.n_classes:,} classes"
        return f"<Model {sizes}, {self.loss!r}, gap {self.gap:.2g}>"

    def _repr_html_(self) -> str:
        """Return classes, loss and certificate as a table for notebooks."""
        more = ", …" if self.n_classes > _MOST_CLASSES else ""
        shown = ", ".join(map(str, self.classes[:_MOST_CLASSES].tolist())) + more
        state = "converged" if self.converged else "did not converge"
        rows = [
            ("loss", f"{self.loss!r}, λ = {self.reg:.6g}"),
            (f"{self.n_classes:,} classes", shown),
            ("features", f"{self.n_features:,}, scaling {self.preprocessing.scaling}"),
            *([("extractor", self.extractor.describe())] if self.extractor is not None else []),
            ("training data", f"{self.data_name}, {self.n_samples:,} samples"),
            ("objective", f"{self.value:.8g} (lower bound {self.lower_bound:.8g}, certified)"),
            ("gap", f"{self.gap:.1e} ({state}, tolerance {self.tol:g})"),
        ]
        return table("Model", rows)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.W.shape[0])

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.W.shape[1])

    @property
    def is_probabilistic(self) -> bool:
        """Whether the loss defines probabilities: the softmax of the scores."""
        return self.loss.probabilistic

    @property
    def temperature(self) -> float | None:
        """The temperature by which scores are divided to give probabilities; None if the model has none.

        1 for cross-entropy; for a hinge loss the one in ``selection`` for the same loss and λ.
        """
        if self.is_probabilistic:
            return 1.0
        same = {"loss": self.loss.name, "parameters": self.loss.parameters()}
        try:
            for path in self.selection["paths"]:
                if self.selection["reg"] == self.reg and {name: path[name] for name in same} == same:
                    temperature = float(path["calibration"]["temperature"])
                    return temperature if 0.0 < temperature < math.inf else None
        except (LookupError, TypeError, ValueError):  # a record of another form, or without calibration
            pass
        return None

    def scores(self, X: ArrayLike | csr_array, n_threads: int | None = None, *, first_row: int = 0) -> Floats:
        """Return ``X @ W + b``, computed in blocks of rows without a float copy of X.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
            Raw features of any real type, memory-mapped or not; N may be 0.
        n_threads : int, optional
            Number of threads, by default one per core that this process may use; results do not depend on it.
        first_row : int, default 0
            Number of the first row of X, for errors: X may be a chunk of a larger file.

        Returns
        -------
        ndarray of shape (N, C), float64

        Raises
        ------
        DataError
            If X has another shape or type or contains NaN or infinity, or if scores overflow.
        """
        return self._filled(X, (self.n_classes,), np.float64, lambda scores: scores, n_threads, first_row)

    def predict(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> NDArray[Any]:
        """Return the class with the largest score per row, shape (N,); parameters and errors as in `scores`.

        Between equal scores the first class is predicted.
        """
        best = self._filled(X, (), np.intp, lambda scores: scores.argmax(axis=1), n_threads)
        return np.asarray(self.classes[best])

    def predict_proba(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> Floats:
        """Return the softmax of scores / ``temperature``, (N, C) float64; parameters and errors as in `scores`.

        For a hinge loss the temperature was fitted to held-out samples.

        Raises
        ------
        CapabilityError
            If ``temperature`` is None: for a hinge loss that was not selected by a calibrated cross-validation.
        """
        temperature = self.temperature
        if temperature is None:
            raise CapabilityError(
                f"Probabilities need the loss '{CrossEntropy.name}' or a temperature from cross-validation, got "
                f"the {self.loss.title} without a temperature; use the scores."
            )
        return self._filled(X, (self.n_classes,), np.float64, lambda s: softmax(s / temperature), n_threads)

    def _filled(
        self,
        X: ArrayLike | csr_array,
        shape: tuple[int, ...],
        dtype: type,
        from_scores: Callable[[Floats], NDArray[Any]],
        n_threads: int | None,
        first_row: int = 0,
    ) -> NDArray[Any]:
        """Return the result of ``from_scores`` for each row."""
        X = checked_features(X, self.n_features)
        result = np.empty((X.shape[0], *shape), dtype)
        return fill_from_scores(self._parts(), X, result, from_scores, n_threads, first_row)

    def metadata(self) -> dict[str, Any]:
        """Return all fields except the weights as JSON values; numbers that are not finite become strings."""
        scaling, _, _, rows = self.preprocessing
        kind = next(kind for kind, dtype in checks.CLASS_TYPES.items() if dtype.kind == self.classes.dtype.kind)
        metadata = {name: getattr(self, name) for name in METADATA_FIELDS}
        metadata |= {"classes_kind": kind, "scaling": scaling, "rows": rows}
        metadata |= {"n_features": self.n_features, "n_classes": self.n_classes}
        metadata["loss"] = {"name": self.loss.name, "parameters": self.loss.parameters()}
        metadata["extractor"] = None if self.extractor is None else self.extractor.record()
        return dict(to_json(metadata, repr))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file atomically; an existing file is replaced, or unchanged after an error.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ModelFileError
            If the folder is missing, permission is denied or the disk is full.
        """
        tensors = {
            "W": self.W,
            "b": self.b,
            "preprocessing.mean": self.preprocessing.mean,
            "preprocessing.scale": self.preprocessing.scale,
        }
        learned = {} if self.extractor is None else self.extractor.arrays_
        tensors |= {f"{LEARNED}{name}": array for name, array in learned.items()}
        write_file(path, encode_record(json.dumps(self.metadata(), sort_keys=True, allow_nan=False), tensors))

    def export(self, path: str | os.PathLike[str], *, with_backbone: bool = False) -> None:
        """Write the model for another program, in the format given by the file extension.

        ``.onnx`` is a graph from float32 features to label and scores (needs the package onnx), ``.safetensors``
        the state of a ``torch.nn.Linear(D, C)``, ``.npz`` NumPy arrays. They contain weights and classes, without
        the other metadata. If rows must be divided by their length (``preprocessing.rows``), the ONNX graph does
        so; the other formats store ``unit_rows=True``.

        Parameters
        ----------
        path : str or path
        with_backbone : bool, default False
            Only for ``.onnx``: join the backbone and the classifier to a graph from images to label and scores.

        Raises
        ------
        ParameterError
            If the extension is unknown, or the model has no backbone to join.
        CapabilityError
            If the package onnx is needed and not installed.
        ModelFileError
            If the folder is missing, permission is denied or the disk is full.
        """
        if with_backbone and self.extractor is None:
            raise ParameterError(
                "with_backbone needs a model of a backbone, but this model takes its features as is."
            )
        write_file(path, exports.content(path, self._parts(), self.extractor if with_backbone else None))

    def to_sklearn(self) -> Any:
        """Return a scikit-learn estimator with the same predictions.

        Returns
        -------
        LogisticRegression or LinearSVC
            A fitted estimator with these weights, after a ``Normalizer`` if rows are divided by their length.
        """
        return exports.estimator(self._parts())

    def _parts(self) -> Parts:
        unit = self.preprocessing.rows == "l2"
        return Parts(self.W, self.b, self.classes, self.is_probabilistic, unit, self.feature_names)


METADATA_FIELDS = tuple(f.name for f in fields(Model) if f.name not in ("W", "b", "preprocessing"))
LEARNED = "extractor."
"""Prefix of the tensors that an extractor learned."""

FURTHER = ("classes_kind", "scaling", "rows", "n_features", "n_classes")
"""Entries of the metadata that are not fields: the preprocessing without its tensors, and sizes."""
