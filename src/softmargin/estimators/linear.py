"""The scikit-learn estimator for one loss and one λ."""

from __future__ import annotations

import os
from typing import Any, Self

from numpy.typing import ArrayLike

from softmargin.estimators.base import FittedClassifier
from softmargin.losses import Loss, make_loss
from softmargin.preprocessing import requested_scaling
from softmargin.shards import as_shards
from softmargin.solvers import Callback

__all__ = ["LinearClassifier"]


class LinearClassifier(FittedClassifier):
    """Multiclass linear classifier, trained to a certified optimum.

    It minimises the weighted mean loss plus λΣW² over the weights W and the unpenalised bias b. A lower bound
    certifies how close the result is to the minimum.

    Parameters
    ----------
    loss : {"hinge", "squared_hinge", "cross_entropy"} or Loss, default "cross_entropy"
        The loss per sample.
    reg : float, default 1e-4
        λ > 0, the factor of ΣW² (no ½). scikit-learn's C is 1/(2·N·λ), and 1/(N·λ) for two classes.
    delta : float, default 1.0
        The margin Δ of the hinge losses. It need not be searched, since changing λ has the same effect.
    fit_intercept : bool, default True
        Whether to fit b.
    tol : float, default 1e-4
        Tolerance on the relative duality gap.
    max_passes : int, default 2000
        Maximum number of passes over X.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        Scaling of the features before the penalty applies. X is not changed, and ``coef_`` is for X as given.
        "pixel" divides 8-bit pixels by 255, "standard" each feature by its standard deviation. "auto" is "pixel"
        for uint8. For dense floats it is "standard" if the standard deviations of two features, constant
        ones aside, differ by a factor of 100 or more. Else, and with ``normalize_rows``, it is "none".
        ``preprocessing_`` has the name of the result.
    normalize_rows : bool, default False
        Whether to divide each row of X by its Euclidean length first, as is usual for embeddings. This makes a
        copy of X, in float32 (float64 for float64 and for integers of more than 16 bits).
    class_weight : dict or "balanced", optional
        Factors on the sample weights per class, as in scikit-learn. "balanced" gives all classes the same total
        weight. A factor of 0 leaves out the class, as if its samples had the weight 0.
    engine : {"auto", "chunked", "cpu", "dask", "reference"}, default "auto"
        The implementation that reads X. Shards are read by "dask" on a cluster, or by "chunked" in this process.
    n_threads : int, optional
        Number of threads; results do not depend on it.
    checkpoint : path-like, optional
        File for the state of the fit, from which an interrupted fit resumes; see `minimize`.
    callback : callable, optional
        Called with each `Step` of the fit; a true return value stops it.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels of the classes that have a sample of positive weight.
    coef_ : ndarray of shape (C, D)
        Weights for X as given, one row per class. Two classes have two rows, ``coef_[1] = -coef_[0]``, and the
        one row of scikit-learn is ``coef_[1] - coef_[0]``.
    intercept_ : ndarray of shape (C,)
    loss_ : Loss
    reg_, tol_ : float
        The loss, λ and tolerance of the fit, even if the parameters were changed afterwards.
    value_, lower_bound_, gap_ : float
        F at the solution, the certified lower bound on its minimum, and the relative gap between them.
    converged_ : bool
        Whether ``gap_ <= tol_``.
    n_passes_ : int
        Number of passes over X.
    fit_ : Fit
        The solver's result, in preprocessed coordinates, with its history.
    preprocessing_ : Preprocessing
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (D,)
        Only if X had string column names.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> classifier = sm.LinearClassifier("hinge", reg=1e-3).fit(digits.X, digits.y)
    >>> bool(classifier.gap_ <= 1e-4)
    True
    """

    def __init__(
        self,
        loss: str | Loss = "cross_entropy",
        *,
        reg: float = 1e-4,
        delta: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_passes: float = 2000,
        scaling: str = "auto",
        normalize_rows: bool = False,
        class_weight: dict[Any, float] | str | None = None,
        engine: str = "auto",
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.loss = loss
        self.reg = reg
        self.delta = delta
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_passes = max_passes
        self.scaling = scaling
        self.normalize_rows = normalize_rows
        self.class_weight = class_weight
        self.engine = engine
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.callback = callback

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to the samples.

        Parameters
        ----------
        X : array-like, sparse array, dask array or Shards of shape (N, D)
            Features of any real type, read in place; sparse X is not converted to dense. Shards of `open_shards`
            and dask arrays are read by ``engine="dask"``, or in this process.
        y : array-like of shape (N,)
            Labels: strings or integers. None for shards, which come with their labels.
        sample_weight : array-like of shape (N,), optional
            Non-negative weights; weight k is the same as k copies.

        Returns
        -------
        LinearClassifier
            The fitted estimator.

        Raises
        ------
        DataError
            If X, y or the weights are invalid; the message names the row.
        ParameterError
            If a parameter is invalid.

        Warns
        -----
        ConvergenceWarning
            If the fit did not converge.
        """
        loss = make_loss(self.loss, self.delta)
        if (shards := as_shards(X, y, sample_weight)) is not None:
            shards, scaling = self._weighted(shards), requested_scaling(self.scaling, "none")
            self._fit_one(loss, self.reg, shards, None, scaling, self.checkpoint)
            return self
        labelled = self._labelled(X, y, sample_weight)
        scaling, samples = requested_scaling(self.scaling, labelled.rows), labelled.samples(self.class_weight)
        self._fit_one(loss, self.reg, samples, labelled, scaling, self.checkpoint)
        return self

    def _has_probabilities(self) -> bool:
        loss = self.loss_ if hasattr(self, "loss_") else make_loss(self.loss, self.delta)
        if not loss.probabilistic:
            raise AttributeError(
                f"Probabilities need loss='cross_entropy' or LinearClassifierCV(calibrate=True), got {loss!r}."
            )
        return True
