"""Fits that a report compares with the model: the other losses at their best λ, and other λ."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from softmargin.data import Dataset
from softmargin.errors import ConvergenceWarning
from softmargin.losses import Loss
from softmargin.model import Model
from softmargin.samples import Labelled
from softmargin.selection import Comparison
from softmargin.training import train

__all__ = ["refit", "search_of"]

_ALONG = 9
_ALONG_TOL = 1e-2
_MOST_WEIGHTS = 1_000_000
"""Pictures of more weights than this would make the page too large."""


def search_of(model: Model) -> Comparison | None:
    """Return the search that selected loss and λ of a model, None if they were given."""
    return Comparison.from_record(model.selection) if "paths" in model.selection else None


def refit(
    model: Model,
    training: Dataset,
    *,
    max_passes: float = 2000,
    n_threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Model], list[Model]]:
    """Fit the losses and λ that were tried but not selected.

    Parameters
    ----------
    model : Model
        Its ``selection`` records what was tried, and the class weights; if it is empty nothing is fitted.
    training : Dataset
        Its training data, with their weights if it has any.
    max_passes : float, default 2000
        Largest number of passes of each fit.
    n_threads : int, optional
    progress : callable, optional
        Called with a description of each fit.

    Returns
    -------
    others : list of Model
        The other losses that were tried, each at its best λ, with the tolerance of the model.
    along : list of Model
        For images: the loss of the model at other λ of its path, with a tolerance of 1e-2.
    """
    say = progress or (lambda what: None)
    others, along = [], []
    search = search_of(model)
    class_weight: dict[Any, float] | str | None = None if search is None else search.recorded.class_weight
    if isinstance(class_weight, dict):  # recorded by the text of the label
        class_weight = {
            label: class_weight[str(label)] for label in model.classes.tolist() if str(label) in class_weight
        }

    @cache
    def labelled() -> Labelled:
        return Labelled.check(training.X, training.y, training.weights)  # type: ignore[arg-type]

    def fitted(loss: Loss, reg: float, tol: float) -> Model:
        say(f"fitting {loss.name}, reg {reg:.2g}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the report shows each gap
            found = train(
                labelled(),
                loss,
                reg,
                tol=tol,
                max_passes=max_passes,
                scaling=model.preprocessing.scaling,
                normalize_rows=model.preprocessing.rows == "l2",
                class_weight=class_weight,
                n_threads=n_threads,
            )
        numbers: dict[str, Any] = found.numbers()
        # The data are the same; `to_model` would read them again for their fingerprint.
        return replace(model, **numbers, selection={}, history={})

    for path in () if search is None else search.paths:
        if path.loss != model.loss:
            others.append(fitted(path.loss, path.chosen.reg, model.tol))
        elif model.image_shape is not None and model.W.size * _ALONG <= _MOST_WEIGHTS:
            every = max(1, -(-len(path.points) // _ALONG))
            regs = [point.reg for k, point in enumerate(path.points) if (k - path.index) % every == 0]
            along = [fitted(model.loss, reg, _ALONG_TOL) for reg in regs if reg != model.reg]
    return others, along
