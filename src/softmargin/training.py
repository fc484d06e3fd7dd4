"""One fit of one loss with one λ, from checked samples to a model: what estimators, commands and reports share.

It does not import scikit-learn, which takes longer than a small fit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data import Dataset
from softmargin.engines.registry import EngineFactory, make_engine
from softmargin.losses import Loss
from softmargin.losses.base import Floats
from softmargin.model import Model
from softmargin.objective import Objective
from softmargin.preprocessing import Preprocessing, requested_scaling
from softmargin.samples import Labelled, Samples
from softmargin.selection import Comparison, scaling_of
from softmargin.shards import Shards
from softmargin.solvers import Callback, Fit, minimize
from softmargin.threads import one_blas_thread
from softmargin.weights import ClassWeight

if TYPE_CHECKING:
    from softmargin.features import FeatureExtractor

__all__ = ["Trained", "extractor_of", "train", "train_on"]


@dataclass(frozen=True)
class Trained:
    """A fit, and its weights for raw features.

    Attributes
    ----------
    W : ndarray of shape (D, C)
    b : ndarray of shape (C,)
    classes : ndarray of shape (C,)
    loss : Loss
    reg : float
        λ.
    preprocessing : Preprocessing
    fit : Fit
        The solver's result, in preprocessed coordinates.
    """

    W: Floats
    b: Floats
    classes: NDArray[Any]
    loss: Loss
    reg: float
    preprocessing: Preprocessing
    fit: Fit

    def numbers(self) -> dict[str, Any]:
        """Return the fields of a `Model` that do not depend on the data set."""
        fit = self.fit
        return {
            "W": self.W, "b": self.b, "classes": self.classes, "loss": self.loss, "reg": self.reg,
            "preprocessing": self.preprocessing, "value": fit.value, "lower_bound": fit.lower_bound,
            "gap": fit.gap, "tol": fit.tol, "converged": fit.converged, "n_passes": fit.n_passes,
            "seconds": fit.seconds,
        }  # fmt: skip

    def to_model(
        self,
        data: Dataset | Shards,
        *,
        image_size: tuple[int, int] | None = None,
        choice: Comparison | None = None,
        engine: str | EngineFactory = "auto",
    ) -> Model:
        """Return a model that records the fingerprint and kind of its training data.

        The parameters are those of `LinearClassifier.to_model`; ``engine`` reads shards for their fingerprint.
        """
        if isinstance(data, Shards):
            made: Any = make_engine(engine, data)  # a `ChunkedEngine`
            return Model(
                **self.numbers(),
                n_samples=data.n_samples,
                fingerprint=made.fingerprint(weighted=False),
                feature_names=data.feature_names,
                label_column=data.label_column,
                weights_column=data.weights_column,
                selection={} if choice is None else choice.record(),
                history=self.fit.record(),
            )
        return Model(
            **self.numbers(),
            n_samples=data.n_samples,
            fingerprint=data.fingerprint(),
            image_shape=data.image_shape,
            image_size=image_size,
            feature_names=data.feature_names,
            extractor=extractor_of(data),
            text=data.text,
            label_column=data.label_column,
            data_name=data.name,
            selection={} if choice is None else choice.record(),
            history=self.fit.record(),
        )


def train(
    labelled: Labelled,
    loss: Loss,
    reg: float,
    *,
    scaling: str = "auto",
    normalize_rows: bool = False,
    class_weight: ClassWeight = None,
    **options: Any,
) -> Trained:
    """Return the fit that `LinearClassifier` makes with these parameters.

    Parameters
    ----------
    labelled : Labelled
        The training samples.
    loss : Loss
    reg : float
    scaling, normalize_rows, class_weight : optional
        As in `LinearClassifier`.
    **options
        The further parameters of `train_on`.

    Raises
    ------
    DataError, ParameterError, CapabilityError
        As `LinearClassifier.fit` does.
    KeyboardInterrupt
        If Ctrl-C interrupted the fit: a search or a pipeline around it should end too.
    """
    labelled = labelled.of_classes(class_weight)
    labelled = labelled.with_unit_rows() if normalize_rows else labelled
    scaling, samples = requested_scaling(scaling, labelled.rows), labelled.samples(class_weight)
    return train_on(samples, labelled, loss, reg, scaling, **options)


@one_blas_thread()
def train_on(
    samples: Samples | Shards,
    labelled: Labelled | None,
    loss: Loss,
    reg: float,
    scaling: str,
    *,
    tol: float = 1e-4,
    max_passes: float = 2000,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callback | None = None,
    fit_intercept: bool = True,
    engine: str | EngineFactory = "auto",
    n_threads: int | None = None,
) -> Trained:
    """Return the fit to the ``samples`` that were made from ``labelled``, or to shards, which have labels.

    The other parameters are those of `train`.
    """
    objective = Objective.of(loss, samples, reg, fit_intercept=fit_intercept, engine=engine, n_threads=n_threads)
    preprocessing = scaling_of(objective, scaling, samples)
    if labelled is not None:
        preprocessing = preprocessing._replace(rows=labelled.rows)
    classes = objective.labels if labelled is None else labelled.classes
    assert classes is not None, "shards have labels"
    objective = objective.replace(scale=preprocessing.scale)
    fit = minimize(objective, tol=tol, callback=callback, max_passes=max_passes, checkpoint=checkpoint)
    if fit.interrupted:
        raise KeyboardInterrupt
    (W, b), columns = preprocessing.fold(fit.W, fit.b), samples.columns
    W = np.ascontiguousarray(columns.spread(W, order="F").T).T
    preprocessing, fit = preprocessing.spread(columns), replace(fit, W=columns.spread(fit.W))
    return Trained(W, b, classes, loss, objective.reg, preprocessing, fit)


def extractor_of(data: Dataset) -> FeatureExtractor | None:
    """Return the extractor of the features of a data set, None if they are the data themselves."""
    if data.stored is None and data.extractor is None:
        return None
    from softmargin import features  # slow to import: extractors are transformers of scikit-learn

    return features.extractor_of(data)
