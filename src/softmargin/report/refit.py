"""What a report shows beside a model and its card does not keep: the other losses at their best λ, and other λ."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from softmargin.data.base import Dataset
from softmargin.errors import ConvergenceWarning
from softmargin.estimators import LinearClassifier
from softmargin.losses import LOSSES, Loss
from softmargin.model import Model

__all__ = ["refit"]

_ALONG = 9
_ALONG_TOL = 1e-2
_MOST_WEIGHTS = 1_000_000
"""Pictures of more weights than this would make the page too heavy."""


def refit(
    model: Model,
    training: Dataset,
    *,
    max_passes: float = 2000,
    n_threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Model], list[Model]]:
    """Fit what was tried and not chosen.

    Parameters
    ----------
    model : Model
        Its ``selection`` says what was tried; without that nothing is fitted.
    training : Dataset
        What it was trained on.
    max_passes : float, default 2000
        Budget of each fit.
    n_threads : int, optional
    progress : callable, optional
        Told what is at work.

    Returns
    -------
    others : list of Model
        The other losses that were tried, each at its best λ, to the gap that was asked of the model.
    along : list of Model
        For images: the loss of the model at other λ of its path, to a gap of 1e-2.
    """
    say = progress or (lambda what: None)
    others, along = [], []

    def fitted(loss: Loss, reg: float, tol: float) -> Model:
        say(f"fitting {loss.name}, reg {reg:.2g}")
        classifier = LinearClassifier(
            loss,
            reg=reg,
            tol=tol,
            max_passes=max_passes,
            scaling=model.preprocessing.scaling,
            normalize_rows=model.preprocessing.rows == "unit",
            n_threads=n_threads,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the gap of each stands in the report
            classifier.fit(training.X, training.y)  # type: ignore[arg-type]
        return classifier.to_model(training, image_size=model.image_size)

    for name, parameters, regs, best in _tried(model.selection):
        if name != model.loss.name:
            if parameters is None:  # older records do not keep them: both hinges had the same
                parameters = model.loss.parameters() if name != "cross_entropy" else {}
            others.append(fitted(LOSSES[name](**parameters), regs[best], model.tol))
        elif model.image_shape is not None and model.W.size * _ALONG <= _MOST_WEIGHTS:
            every = max(1, -(-len(regs) // _ALONG))
            others_than_best = [reg for k, reg in enumerate(regs) if (k - best) % every == 0 and reg != model.reg]
            along = [fitted(model.loss, reg, _ALONG_TOL) for reg in others_than_best]
    return others, along


def _tried(selection: dict[str, Any]) -> list[tuple[str, dict[str, float] | None, list[float], int]]:
    """Return (loss, its parameters, path of λ, index of the chosen) of each loss that a record tells of."""
    found = []
    paths = selection.get("paths")
    for path in paths if isinstance(paths, list) else []:
        if not isinstance(path, dict):
            continue
        points, best = path.get("points"), path.get("index", path.get("best"))
        if path.get("loss") in LOSSES and isinstance(points, list) and isinstance(best, int):
            regs = [float(point["reg"]) for point in points if isinstance(point.get("reg"), (int, float))]
            if 0 <= best < len(regs) == len(points):
                found.append((path["loss"], _parameters(path), regs, best))
    return found


def _parameters(path: dict[str, Any]) -> dict[str, float] | None:
    """Return the parameters of the loss of a path; None if the record does not have them."""
    found = path.get("parameters")
    if not isinstance(found, dict) or found.keys() != set(LOSSES[path["loss"]]._fields):  # type: ignore[attr-defined]
        return None
    return found if all(isinstance(value, (int, float)) for value in found.values()) else None
