"""Fits that a report shows beside the model: the other losses at their best λ, and other λ."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

from softmargin.data import Dataset
from softmargin.errors import ConvergenceWarning
from softmargin.estimators import LinearClassifier
from softmargin.losses import Loss
from softmargin.model import Model
from softmargin.selection import Comparison

__all__ = ["refit", "search_of"]

_FITTED = ("loss", "reg", "preprocessing", "value", "lower_bound", "gap", "tol", "converged", "n_passes")
_ALONG = 9
_ALONG_TOL = 1e-2
_MOST_WEIGHTS = 1_000_000
"""Pictures of more weights than this would make the page too heavy."""


def search_of(model: Model) -> Comparison | None:
    """Return the search that chose loss and λ of a model, None if they were given."""
    return Comparison.from_record(model.selection) if "paths" in model.selection else None


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
            normalize_rows=model.preprocessing.rows == "l2",
            n_threads=n_threads,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the gap of each stands in the report
            classifier.fit(training.X, training.y)  # type: ignore[arg-type]
        # Of the same data: `to_model` would read them once more for their fingerprint.
        changed = {name: getattr(classifier, f"{name}_") for name in _FITTED} | {"selection": {}, "history": {}}
        W, b = classifier.coef_.T, classifier.intercept_
        return replace(model, W=W, b=b, seconds=classifier.fit_.seconds, **changed)

    search = search_of(model)
    for path in () if search is None else search.paths:
        if path.loss != model.loss:
            others.append(fitted(path.loss, path.chosen.reg, model.tol))
        elif model.image_shape is not None and model.W.size * _ALONG <= _MOST_WEIGHTS:
            every = max(1, -(-len(path.points) // _ALONG))
            regs = [point.reg for k, point in enumerate(path.points) if (k - path.index) % every == 0]
            along = [fitted(model.loss, reg, _ALONG_TOL) for reg in regs if reg != model.reg]
    return others, along
