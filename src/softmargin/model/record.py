"""The model: weights, classes, preprocessing and the record of their origin; saved without any code.

A model file is a safetensors file: the tensors W, b, preprocessing.mean and preprocessing.scale, and a *card*
(JSON text) with everything else; see ``softmargin/io/safetensors.py``.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from softmargin._version import __version__
from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError
from softmargin.io.safetensors import damaged, encode_record
from softmargin.losses import LOSSES, CrossEntropy, Loss, softmax
from softmargin.model import checks, exports
from softmargin.model.file import check_names, read_file, write_file
from softmargin.model.parts import Parts
from softmargin.model.predict import checked_features, fill_from_scores
from softmargin.preprocessing import ROWS, SCALINGS, Preprocessing
from softmargin.text import printable, to_json

__all__ = ["Model", "load_model"]

Floats = NDArray[np.float64]


def _versions() -> dict[str, str]:
    return {"softmargin": __version__, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Model:
    """A multiclass linear classifier and its record. Scores are ``x @ W + b`` on raw features x.

    Where ``preprocessing.rows`` is "l2", x is first divided by its Euclidean length, here as in the fit.

    Attributes
    ----------
    W : ndarray of shape (D, C), float64
        Weights for raw features: preprocessing is folded in. Read-only, like all arrays here.
    b : ndarray of shape (C,), float64
    classes : ndarray of shape (C,)
        The label of each column: strings, int64, uint64, bool or float64.
    loss : Loss
        One of the registry ``softmargin.losses.LOSSES``.
    reg : float
        λ, the factor of ΣW² (of the weights on preprocessed features).
    preprocessing : Preprocessing
        What was folded into W and b, for the record and for reports.
    value, lower_bound, gap, tol : float
        F at the solution, the proved bound on its minimum, the relative gap between them and the gap that
        was asked for.
    converged : bool
        Whether gap ≤ tol.
    n_passes : int
        Readings of X.
    seconds : float
        Wall time of the fit.
    n_samples : int
        N of the training data.
    fingerprint : str
        Of the training data (``Dataset.fingerprint``).
    image_shape : tuple of int (height, width, channels), or None
        Each row of X is the C-order flattening of an array of this shape.
    image_size : tuple of int (height, width), or None
        Set if images were resized to it on reading.
    feature_names : tuple of str, or None
    data_name : str
    versions : dict of str to str
        Versions of what made the model.
    created : str
        ISO 8601, UTC.
    selection : dict
        How loss and reg were chosen, {} if the user gave them. Kept as JSON keeps it: tuples become lists,
        and numbers that are not finite the strings "inf", "-inf" and "nan".
    history : dict
        How the fit went, {} if it was not kept: lists of equal length named as the fields of a `Step`
        (``n_passes``, ``seconds``, ``value``, ``lower_bound``, ``estimate``). Kept as ``selection`` is.

    Raises
    ------
    DataError
        Shapes do not fit, numbers are not finite or classes are repeated or of another type.
    ParameterError
        The loss is not in the registry, ``selection`` holds something that JSON cannot say, or the
        record is inconsistent, for example a reg that is not a number, or a converged fit whose gap exceeds tol.
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
    data_name: str = ""
    versions: dict[str, str] = field(default_factory=_versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    selection: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if LOSSES.get(self.loss.name) is not type(self.loss):
            raise ParameterError(
                f"A model keeps the losses {', '.join(LOSSES)}, but this one is {type(self.loss).__name__}."
            )
        W = checks.frozen("W", self.W)
        if W.ndim != 2 or W.shape[0] < 1 or W.shape[1] < 2:
            raise DataError(f"W must have shape (D ≥ 1, C ≥ 2), but its shape is {W.shape}.")
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
        if scaling not in SCALINGS or scaling == "auto":
            raise ParameterError(f"scaling must be the name of what was done, but it is {scaling!r}.")
        if rows not in ROWS:
            raise ParameterError(f"rows must be one of {', '.join(map(repr, ROWS))}, but it is {rows!r}.")
        for name, setting in settings.items():
            object.__setattr__(self, name, setting)
        if self.image_shape is not None and math.prod(self.image_shape) != D:
            raise DataError(f"The image shape {self.image_shape} does not fit {D} features.")
        if self.feature_names is not None and len(self.feature_names) != D:
            raise DataError(f"{D} features need as many names, found {len(self.feature_names)}.")

    def __repr__(self) -> str:
        """Sizes, loss and gap, no values."""
        sizes = f"{self.n_features:,} features, {self.n_classes:,} classes"
        return f"<Model {sizes}, {self.loss!r}, gap {self.gap:.2g}>"

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
        """Whether the softmax of the scores are the loss's own probabilities."""
        return self.loss.probabilistic

    @property
    def temperature(self) -> float | None:
        """What scores are divided by before they become probabilities, or None if there are none.

        1 for cross-entropy; for a hinge the one on record in ``selection`` for just this loss and λ.
        """
        if self.is_probabilistic:
            return 1.0
        paths = self.selection.get("paths")
        mine = {"loss": self.loss.name, "parameters": self.loss.parameters()}
        for path in paths if isinstance(paths, list) and self.selection.get("reg") == self.reg else ():
            if isinstance(path, dict) and {name: path.get(name) for name in mine} == mine:
                calibration = path.get("calibration")
                found = calibration.get("temperature") if isinstance(calibration, dict) else None
                if isinstance(found, (int, float)) and 0.0 < found < math.inf:
                    return float(found)
        return None

    def scores(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> Floats:
        """Return ``X @ W + b``, in blocks of rows and without a float copy of X.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
            Raw features of any real type, memory-mapped or not; N may be 0.
        n_threads : int, optional
            By default one for each core this process may use; results do not depend on it.

        Returns
        -------
        ndarray of shape (N, C), float64

        Raises
        ------
        DataError
            X has another shape or type, holds NaN or inf, or is so large that the scores overflow.
        """
        return self._filled(X, (self.n_classes,), np.float64, lambda scores: scores, n_threads)

    def predict(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> NDArray[Any]:
        """Return the class of largest score of each row, shape (N,); parameters and errors as in `scores`.

        The first of several equal scores wins.
        """
        best = self._filled(X, (), np.intp, lambda scores: scores.argmax(axis=1), n_threads)
        return np.asarray(self.classes[best])

    def predict_proba(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> Floats:
        """Return the softmax of scores / ``temperature``, (N, C) float64; parameters and errors as in `scores`.

        For cross-entropy these are its own probabilities; for a hinge they are calibrated on held-out samples.

        Raises
        ------
        CapabilityError
            If there is no temperature: a hinge that was not chosen by a search which calibrates.
        """
        temperature = self.temperature
        if temperature is None:
            raise CapabilityError(
                f"The {self.loss.title} gives margins, not probabilities, and this model has no temperature from "
                f"held-out samples: use scores, let a search choose reg, or fit with '{CrossEntropy.name}'."
            )
        return self._filled(X, (self.n_classes,), np.float64, lambda s: softmax(s / temperature), n_threads)

    def _filled(
        self,
        X: ArrayLike | csr_array,
        shape: tuple[int, ...],
        dtype: type,
        from_scores: Callable[[Floats], NDArray[Any]],
        n_threads: int | None,
    ) -> NDArray[Any]:
        """Return what ``from_scores`` makes of the scores of each row."""
        X = checked_features(X, self.n_features)
        return fill_from_scores(self._parts(), X, np.empty((X.shape[0], *shape), dtype), from_scores, n_threads)

    def card(self) -> dict[str, Any]:
        """Return everything but the weights as JSON values; numbers that are not finite are strings."""
        scaling, _, _, rows = self.preprocessing
        kind = next(kind for kind, dtype in checks.CLASS_TYPES.items() if dtype.kind == self.classes.dtype.kind)
        card = {name: getattr(self, name) for name in _ON_CARD}
        card |= {"classes_kind": kind, "scaling": scaling, "rows": rows}
        card |= {"n_features": self.n_features, "n_classes": self.n_classes}
        card["loss"] = {"name": self.loss.name, "parameters": self.loss.parameters()}
        plain: dict[str, Any] = to_json(card, repr)
        return plain

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file; a file of this name is replaced in one step or stays as it was.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ModelFileError
            The folder is missing, permission is denied or the disk is full.
        """
        tensors = {
            "W": self.W,
            "b": self.b,
            "preprocessing.mean": self.preprocessing.mean,
            "preprocessing.scale": self.preprocessing.scale,
        }
        write_file(path, encode_record(json.dumps(self.card(), sort_keys=True, allow_nan=False), tensors))

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the model for another program, in the format that the name ends in.

        ``.onnx`` is a graph from float32 features to label and scores (needs the package onnx), ``.safetensors``
        the state of a ``torch.nn.Linear(D, C)``, ``.npz`` plain NumPy arrays. None of them holds the record of the
        model; where rows are divided by their length (``preprocessing.rows``), only the first does that itself,
        the others say so under ``unit_rows``.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ParameterError
            The name ends in something else.
        CapabilityError
            The package onnx is needed and not installed.
        ModelFileError
            The folder is missing, permission is denied or the disk is full.
        """
        write_file(path, exports.content(path, self._parts()))

    def to_sklearn(self) -> Any:
        """Return a scikit-learn estimator that predicts the same.

        Returns
        -------
        LogisticRegression or LinearSVC
            As if it were fitted, with these weights; behind a ``Normalizer`` where rows are divided.
        """
        return exports.estimator(self._parts())

    def _parts(self) -> Parts:
        unit = self.preprocessing.rows == "l2"
        return Parts(self.W, self.b, self.classes, self.is_probabilistic, unit, self.feature_names)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        The file is missing, damaged in as little as one bit, of another kind or of a newer format, or what
        is in it makes no sense.
    """
    where = printable(os.fsdecode(path))
    try:
        return _from_card(*read_file(path), where)
    except (DataError, ParameterError) as error:
        raise ModelFileError(f"{where} holds what cannot be a model: {error}") from error
    except ModelFileError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise damaged(where) from error


def _from_card(card: dict[str, Any], tensors: dict[str, Floats], where: str) -> Model:
    """Return the model of a card and its tensors."""
    check_names(card, (*_ON_CARD, *_FURTHER), f"The card of {where}", "entry")
    check_names(tensors, ("W", "b", "preprocessing.mean", "preprocessing.scale"), where, "tensor")
    loss, kind, classes = card["loss"], card["classes_kind"], card["classes"]
    if not (isinstance(loss, dict) and loss.keys() == {"name", "parameters"} and isinstance(loss["name"], str)):
        raise ModelFileError(
            f"{where} has a card on which the loss is {checks.brief(loss)}: it has no name and parameters."
        )
    if loss["name"] not in LOSSES:
        raise ModelFileError(
            f"{where} has the loss {loss['name']!r}, but this version ({__version__}) knows only "
            f"{', '.join(LOSSES)}: install a newer softmargin."
        )
    odd = {name: card[name] for name in checks.FLOATS if isinstance(card[name], int)}  # bool among them
    odd |= {name: number for name, number in loss["parameters"].items() if not isinstance(number, float)}
    for name, number in odd.items():
        raise ParameterError(f"{name} must be a number with a decimal point, but it is {checks.brief(number)}.")
    record = {name: card[name] for name in _ON_CARD}
    record |= {name: float(card[name]) for name in checks.FLOATS if card[name] in checks.NOT_FINITE}
    record["classes"] = np.array(classes, dtype=checks.CLASS_TYPES[kind])
    record["loss"] = LOSSES[loss["name"]](**loss["parameters"])
    mean, scale = tensors["preprocessing.mean"], tensors["preprocessing.scale"]
    preprocessing = Preprocessing(card["scaling"], mean, scale, card["rows"])
    model = Model(W=tensors["W"], b=tensors["b"], preprocessing=preprocessing, **record)
    D, C = model.W.shape
    for name, value in {"n_features": D, "n_classes": C, "classes": to_json(model.classes, repr)}.items():
        if card[name] != value:
            found, wanted = checks.brief(card[name]), checks.brief(value)
            raise ModelFileError(
                f"{where} contradicts itself: {name} is {found} on its card where {wanted} belongs."
            )
    return model


_ON_CARD = tuple(f.name for f in fields(Model) if f.name not in ("W", "b", "preprocessing"))
"""Fields that stand on the card; beside them: the parts of ``preprocessing`` that are no tensors, and sizes."""
_FURTHER = ("classes_kind", "scaling", "rows", "n_features", "n_classes")
