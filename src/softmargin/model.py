"""The finished thing: weights, classes, preprocessing and where they came from; saved without any code.

A model file is a safetensors file: the tensors W, b, preprocessing.mean and preprocessing.scale, and a
*card* (JSON text) for everything else; ``container.py`` says how it is kept whole.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin import exports
from softmargin._version import __version__
from softmargin.atomic import write_atomically
from softmargin.container import container_header, damaged, read_container, tensor_bytes
from softmargin.data.base import counted, shown
from softmargin.engines import canonical_csr
from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError
from softmargin.losses import LOSSES, CrossEntropy, Loss, softmax
from softmargin.losses.base import Floats
from softmargin.mapped import MappedFile
from softmargin.preprocessing import ROWS, SCALINGS, Preprocessing, unit_rows
from softmargin.threads import INLINE_WORK, one_blas_thread, usable_cores, worker_threads
from softmargin.validation import as_table, check_count, check_number, overflowing

__all__ = ["Model", "load_model"]

_CLASS_TYPES = {
    "str": np.dtype(np.str_),
    "int": np.dtype(np.int64),
    "uint": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "float": np.dtype(np.float64),
}
_RECORDS = ("W", "b", "classes", "loss", "preprocessing")
"""Fields with a form of their own in a file; the others stand on the card as they are."""
_FLOATS = ("reg", "value", "lower_bound", "gap", "tol", "seconds")
_COUNTS = ("n_passes", "n_samples")
_TEXTS = ("fingerprint", "data_name", "created")
_TENSORS = ("W", "b", "preprocessing.mean", "preprocessing.scale")
_DERIVED = ("classes", "classes_kind", "loss", "scaling", "n_features", "n_classes")
"""What stands on the card besides the fields that are kept as they are."""
_FURTHER = ("rows",)
"""What stands on the card only where it says something; older versions refuse it by name."""
_YOUNGER = ("history",)
"""Fields that files of earlier versions lack, and that have a default."""
_STEP = ("n_passes", "seconds", "value", "lower_bound", "estimate")
_BLOCK_ELEMENTS = 1 << 20


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {"softmargin": __version__, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Model:
    """A multiclass linear classifier and its record. Scores are ``x @ W + b`` on raw features x.

    Where ``preprocessing.rows`` is "unit", x is first divided by its Euclidean length, here as in the fit.

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
        How the fit went, {} if nobody kept it: lists of equal length named as the fields of a `Step`
        (``n_passes``, ``seconds``, ``value``, ``lower_bound``, ``estimate``). Kept as ``selection`` is.

    Raises
    ------
    DataError
        Shapes do not fit, numbers are not finite or classes are repeated or of another type.
    ParameterError
        The loss is not in the registry, ``selection`` holds something that JSON cannot say, or what is on
        record makes no sense: a reg that is no number, say, or a gap above tol that is called converged.
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
    created: str = field(default_factory=_now)
    selection: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if LOSSES.get(self.loss.name) is not type(self.loss):
            raise ParameterError(
                f"A model keeps the losses {', '.join(LOSSES)}, but this one is {type(self.loss).__name__}."
            )
        W = _frozen("W", self.W)
        if W.ndim != 2 or W.shape[0] < 1 or W.shape[1] < 2:
            raise DataError(f"W must have shape (D ≥ 1, C ≥ 2), but its shape is {W.shape}.")
        D, C = W.shape
        scaling, mean, scale, rows = self.preprocessing
        mean, scale = _frozen("mean", mean, (D,)), _frozen("scale", scale, (D,))
        settings = {
            "W": W,
            "b": _frozen("b", self.b, (C,)),
            "classes": _checked_classes(self.classes, C),
            "preprocessing": Preprocessing(scaling, mean, scale, rows),
            "selection": _plain(self.selection),
            "history": _checked_history(self.history),
            **_checked_record(self),
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
    def temperature(self) -> float | None:
        """What scores are divided by before they become probabilities, or None if there are none.

        1 for cross-entropy; for a hinge the one on record in ``selection`` for just this loss and λ.
        """
        if isinstance(self.loss, CrossEntropy):
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
        X = self._checked(X)
        return self._by_blocks(X, np.empty((X.shape[0], self.n_classes)), lambda scores: scores, n_threads)

    def predict(self, X: ArrayLike | csr_array, n_threads: int | None = None) -> NDArray[Any]:
        """Return the class of largest score of each row, shape (N,); parameters and errors as in `scores`.

        The first of several equal scores wins.
        """
        X = self._checked(X)
        best = np.empty(X.shape[0], dtype=np.intp)
        self._by_blocks(X, best, lambda scores: scores.argmax(axis=1), n_threads)
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
        X = self._checked(X)
        result = np.empty((X.shape[0], self.n_classes))
        return self._by_blocks(X, result, lambda scores: softmax(scores / temperature), n_threads)

    def card(self) -> dict[str, Any]:
        """Return everything but the weights as JSON values; numbers that are not finite are strings."""
        kind = next(kind for kind, dtype in _CLASS_TYPES.items() if dtype.kind == self.classes.dtype.kind)
        card = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _RECORDS}
        card |= {"classes": self.classes, "classes_kind": kind, "scaling": self.preprocessing.scaling}
        card |= {"n_features": self.n_features, "n_classes": self.n_classes}
        if self.preprocessing.rows != "none":
            card["rows"] = self.preprocessing.rows
        card["loss"] = {"name": self.loss.name, "parameters": self.loss.parameters()}
        plain: dict[str, Any] = _plain(card)
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
        header = container_header(json.dumps(self.card(), sort_keys=True, allow_nan=False), tensors)
        _write(path, [header, *(tensor_bytes(tensors[name]) for name in sorted(tensors))])

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
        _write(path, exports.content(path, self._parts()))

    def to_sklearn(self) -> Any:
        """Return a scikit-learn estimator that predicts the same.

        Returns
        -------
        LogisticRegression or LinearSVC
            As if it were fitted, with these weights; behind a ``Normalizer`` where rows are divided.
        """
        return exports.estimator(self._parts())

    def _parts(self) -> exports.Parts:
        is_unit = self.preprocessing.rows == "unit"
        has_probabilities = isinstance(self.loss, CrossEntropy)
        return exports.Parts(self.W, self.b, self.classes, has_probabilities, is_unit, self.feature_names)

    def _checked(self, X: ArrayLike | csr_array) -> Any:
        array = as_table(X)
        if issparse(array):
            array = canonical_csr(array)
        if array.shape[1] != self.n_features:
            raise DataError(
                f"X has shape {array.shape}, but this model needs (N, {self.n_features}): one row a sample, "
                f"one column for each of its {counted(self.n_features, 'feature')}."
            )
        return array

    def _by_blocks(
        self,
        X: Any,
        result: NDArray[Any],
        from_scores: Callable[[Floats], NDArray[Any]],
        n_threads: int | None,
    ) -> NDArray[Any]:
        """Fill ``result`` from the scores of each block of rows; the borders depend on X alone."""
        row_size = X.nnz // max(1, X.shape[0]) + self.n_classes if issparse(X) else self.n_features
        n_rows = max(16, _BLOCK_ELEMENTS // row_size)
        file = MappedFile(X)

        def fill(start: int) -> int | None:
            """Do one block and return its first row whose scores are not finite."""
            rows = slice(start, start + n_rows)
            file.check(DataError)
            with np.errstate(all="ignore"):
                block = unit_rows(X[rows]) if self.preprocessing.rows == "unit" else X[rows]
                scores = block.astype(np.float64, copy=False) @ self.W + self.b
            finite = np.isfinite(scores).all(axis=1)
            if not finite.all():
                return start + int(finite.argmin())
            result[rows] = from_scores(scores)
            return None

        n_threads = usable_cores() if n_threads is None else check_count("n_threads", n_threads)
        starts = range(0, X.shape[0], n_rows)
        with one_blas_thread():  # in each of our threads
            if n_threads == 1 or len(starts) == 1 or X.shape[0] * row_size * self.n_classes < INLINE_WORK:
                failures = [fill(start) for start in starts]
            else:
                with worker_threads(n_threads, "softmargin scores") as pool:
                    failures = list(pool.map(fill, starts))
        for row in failures:
            if row is not None:
                self._refuse(X, row, n_rows)
        return result

    def _refuse(self, X: Any, row: int, n_rows: int) -> NoReturn:
        """Say why the scores of this row are not finite. NaN and inf in X always reach the scores."""
        n_wrong, place = 0, ""
        for start in range(0, X.shape[0], n_rows):
            block = X[start : start + n_rows].astype(np.float64, copy=False)
            wrong = _not_finite(block)
            if len(wrong) and not place:
                i, column = wrong[0]
                name = "" if self.feature_names is None else f" ({shown(self.feature_names[column])})"
                place = f"the first, {block[i, column]}, at row {start + i}, column {column}{name}"
            n_wrong += len(wrong)
        if n_wrong:
            raise DataError(f"X has values that are NaN or infinite, {n_wrong:,} in all, {place}.")
        raise overflowing(row)


def _not_finite(block: Any) -> NDArray[np.intp]:
    """Return row and column of each NaN and infinity, one a line."""
    if not issparse(block):
        return np.argwhere(~np.isfinite(block))
    entries = block.tocoo()
    wrong = ~np.isfinite(entries.data)
    return np.column_stack([entries.row[wrong], entries.col[wrong]])


def _write(path: str | os.PathLike[str], data: bytes | list[Any]) -> None:
    """Write a file in one step, or raise a `ModelFileError` that names it."""
    try:
        write_atomically(path, data)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(
            f"{shown(os.fsdecode(path))} could not be saved ({reason}); if there was a file of this name "
            f"before, it is unchanged."
        ) from error


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
    where = shown(os.fsdecode(path))
    if not os.path.exists(path):
        raise ModelFileError(f"{where} does not exist: check the name of the model file.")
    if not os.path.isfile(path):
        raise ModelFileError(f"{where} is a folder or a device: give the name of a model file.")
    try:
        with open(path, "rb") as stream:
            card, tensors = read_container(stream, where)
        return _restored(json.loads(card), tensors, where)
    except ModelFileError:
        raise
    except OSError as error:
        raise ModelFileError(f"{where} could not be read ({error.strerror}): check the file and disk.") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise damaged(where) from error


def _restored(card: dict[str, Any], tensors: dict[str, Floats], where: str) -> Model:
    """Return the model of a card and its tensors, if it would be saved as just these."""
    as_they_are = [f.name for f in fields(Model) if f.name not in _RECORDS]
    as_they_are = [name for name in as_they_are if name in card or name not in _YOUNGER]
    further = [name for name in _FURTHER if name in card]
    _check_names(card, (*as_they_are, *_DERIVED, *further), f"The card of {where}", "entry")
    _check_names(tensors, _TENSORS, where, "tensor")
    loss = card["loss"]
    if not (isinstance(loss, dict) and loss.keys() == {"name", "parameters"} and isinstance(loss["name"], str)):
        raise ModelFileError(
            f"{where} has a card on which the loss is {_brief(loss)}: it has no name and parameters."
        )
    name = loss["name"]
    if name not in LOSSES:
        raise ModelFileError(
            f"{where} has the loss {name!r}, but this version ({__version__}) knows only "
            f"{', '.join(LOSSES)}: install a newer softmargin."
        )
    record = {name: card[name] for name in as_they_are}
    record |= {name: float(card[name]) for name in _FLOATS if card[name] in ("inf", "-inf", "nan")}
    try:
        model = Model(
            W=tensors["W"],
            b=tensors["b"],
            classes=np.array(card["classes"], dtype=_CLASS_TYPES[card["classes_kind"]]),
            loss=LOSSES[name](**loss["parameters"]),
            preprocessing=Preprocessing(
                card["scaling"],
                tensors["preprocessing.mean"],
                tensors["preprocessing.scale"],
                card.get("rows", "none"),
            ),
            **record,
        )
    except (DataError, ParameterError) as error:
        raise ModelFileError(f"{where} holds what cannot be a model: {error}") from error
    made = model.card()
    for entry, found in card.items():
        if json.dumps(found, sort_keys=True) != json.dumps(made[entry], sort_keys=True):
            raise ModelFileError(
                f"{where} contradicts itself: {entry} is {_brief(found)} on its card where {_brief(made[entry])} "
                f"belongs."
            )
    return model


def _check_names(found: dict[str, Any], expected: Iterable[str], where: str, kind: str) -> None:
    """Raise a `ModelFileError` unless a part of the file holds just these."""
    if not isinstance(found, dict):
        raise ModelFileError(f"{where} is {_brief(found)}, and no table of {kind} names.")
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing:
        raise ModelFileError(f"{where} has no {kind} {missing[0]!r}, without which it is no model.")
    if unknown:
        raise ModelFileError(f"{where} has the {kind} {_brief(unknown[0])}, of which this version knows nothing.")


def _brief(value: Any) -> str:
    """Return a JSON value in a few printable characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"


# -- checks ------------------------------------------------------------------------------------------------


def _frozen(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> Floats:
    """Return a read-only float64 copy, or raise a `DataError`."""
    array = np.array(values, dtype=np.float64, order="C")
    if shape is not None and array.shape != shape:
        raise DataError(f"{name} must have shape {shape} to fit W, but its shape is {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or infinite numbers; a model needs finite ones.")
    array.flags.writeable = False
    return array


def _checked_record(model: Model) -> dict[str, Any]:
    """Return the numbers and words of a model as plain Python has them, or raise a `ParameterError`."""
    record: dict[str, Any] = {name: check_number(name, getattr(model, name)) for name in _FLOATS}
    record |= {name: check_count(name, getattr(model, name), 0) for name in _COUNTS}
    if not isinstance(model.converged, (bool, np.bool_)):
        raise ParameterError(f"converged must be true or false, but it is {model.converged!r}.")
    record["converged"] = bool(model.converged)
    for name in ("reg", "tol", "seconds"):
        if not 0.0 <= record[name] < np.inf:
            raise ParameterError(f"{name} must be at least 0 and finite, but it is {record[name]!r}.")
    if not record["gap"] >= 0.0:
        raise ParameterError(f"gap must be at least 0, but it is {record['gap']!r}.")
    if record["converged"] != (record["gap"] <= record["tol"]):
        raise ParameterError(
            f"converged is {record['converged']}, but the gap is {record['gap']:g} and tol {record['tol']:g}."
        )
    for name in _TEXTS:
        if not isinstance(getattr(model, name), str):
            raise ParameterError(f"{name} must be a string, but it is {getattr(model, name)!r}.")
    if not (isinstance(model.versions, dict) and all(isinstance(v, str) for v in model.versions.values())):
        raise ParameterError(f"versions must be a dict of strings, but it is {model.versions!r}.")
    if not isinstance(model.selection, dict):
        raise ParameterError(f"selection must be a dict, but it is {model.selection!r}.")
    for name, n_sides in (("image_shape", 3), ("image_size", 2)):
        sides = getattr(model, name)
        if sides is not None:
            sides = (sides,) if isinstance(sides, (str, dict)) or not isinstance(sides, Iterable) else tuple(sides)
            if len(sides) != n_sides:
                raise ParameterError(f"{name} must hold {n_sides} whole numbers, but it is {sides!r}.")
            record[name] = tuple(check_count(f"{name}[{k}]", side) for k, side in enumerate(sides))
    if model.feature_names is not None:
        names = () if isinstance(model.feature_names, str) else tuple(model.feature_names)
        if not all(isinstance(name, str) for name in names):
            raise ParameterError("feature_names must be strings.")
        record["feature_names"] = tuple(map(str, names))
    return record


def _checked_history(history: Any) -> dict[str, Any]:
    """Return the history of a fit as JSON keeps it, or raise a `ParameterError`."""
    plain = _plain(history)
    if plain == {}:
        return {}
    if not isinstance(plain, dict) or set(plain) != set(_STEP):
        raise ParameterError(f"history must be a dict of the lists {', '.join(_STEP)}, but it is {_brief(plain)}.")
    for name, column in plain.items():
        if not isinstance(column, list) or len(column) != len(plain["value"]):
            raise ParameterError(f"history needs lists of one length, but {name} is {_brief(column)}.")
        for number in column:
            if isinstance(number, bool) or not (
                isinstance(number, (int, float)) or number in ("inf", "-inf", "nan")
            ):
                raise ParameterError(f"history[{name!r}] must hold numbers, but it holds {_brief(number)}.")
    return plain


def _checked_classes(classes: ArrayLike, n_classes: int) -> NDArray[Any]:
    array = np.asarray(classes)
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.flat):
        array = array.astype(np.str_)
    dtype = {dtype.kind: dtype for dtype in _CLASS_TYPES.values()}.get(array.dtype.kind)
    if dtype is None or array.shape != (n_classes,):
        raise DataError(
            f"classes must be {n_classes} strings, numbers or truth values, found shape {array.shape} "
            f"of type {array.dtype}."
        )
    array = np.array(array.tolist(), dtype=dtype)  # strings no wider than needed, as they are when loaded
    if len(np.unique(array)) != n_classes:
        raise DataError("classes must differ from each other, but one is repeated.")
    array.flags.writeable = False
    return array


def _plain(value: Any) -> Any:
    """Return a value as JSON keeps it; numbers that are not finite become strings that ``float`` reads."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ParameterError(f"A model cannot keep a {type(value).__name__} in its record; give plain JSON values.")
