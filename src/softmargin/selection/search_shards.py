"""The samples of a search in shards: folds by the content of the rows, and sums over the held-out samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NoReturn

import numpy as np

from softmargin.arguments import brief, check_count
from softmargin.engines import make_engine
from softmargin.engines import shard_sums as sums
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.registry import EngineFactory
from softmargin.engines.shard import FoldRule
from softmargin.errors import CapabilityError, ParameterError
from softmargin.losses.base import Floats
from softmargin.metrics import N_BINS
from softmargin.selection.calibration import fit_temperature
from softmargin.selection.records import Calibration
from softmargin.selection.search import FoldFit, Judged
from softmargin.shards import Shards

__all__ = ["SearchShards"]

_MOST_NUMBERS = 1 << 24
"""Number of held-out scores that a temperature is fitted to at most; they are collected in this process."""


@dataclass(frozen=True)
class SearchShards:
    """Samples in shards with folds by the hash of each row, so that equal rows are in the same fold.

    Attributes
    ----------
    samples : Shards
    engine : ChunkedEngine
        With folds.
    """

    samples: Shards
    engine: ChunkedEngine

    @classmethod
    def divided(
        cls,
        shards: Shards,
        cv: object,
        fraction: float | None,
        seed: int,
        engine: str | EngineFactory,
        n_threads: int | None,
    ) -> SearchShards:
        """Divide the samples at random.

        Parameters
        ----------
        shards : Shards
        cv : int
            Number of folds.
        fraction : float, optional
            Expected fraction of the samples that the only fold holds out, instead of ``cv`` folds.
        seed : int
        engine, n_threads : optional
            As in `LinearClassifier`.

        Raises
        ------
        DataError
            If a fold holds out no sample, or all samples of a class.
        ParameterError
            If ``cv`` is not a number of folds, or larger than the number of samples.
        """
        if not isinstance(cv, (int, np.integer)) or isinstance(cv, bool):
            raise ParameterError(f"cv must be a number of folds for data in shards, got {brief(cv)}.")
        n_folds = check_count("cv", int(cv), 2) if fraction is None else 1
        if n_folds > shards.n_samples:
            raise ParameterError(f"cv must be at most the number of samples, {shards.n_samples}, got {n_folds}.")
        shares = [1.0 / n_folds] * n_folds if fraction is None else [fraction, 1.0 - fraction]
        borders = tuple(int(total * 2.0**64) for total in list(accumulate(shares))[:-1])
        rule = FoldRule(check_count("seed", seed, 0), borders)
        made = make_engine(engine, shards, n_threads)
        if not isinstance(made, ChunkedEngine):
            raise CapabilityError("engine must be 'chunked' or 'dask' for folds of data in shards.")
        return cls(shards, made.divided(rule, n_folds))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Number of training and held-out samples, per fold."""
        assert self.engine.division is not None
        return self.engine.division.sizes

    def loss_error(self, found: FoldFit) -> float:
        """Return the standard error of the mean loss of the only fold's held-out samples."""
        arguments = [(found.objective.loss, *_stored(found))]
        [(n, _, variance)] = self.engine.held_out_sums(sums.loss_moments, arguments, sums.merged_moments)
        return float(np.sqrt(variance / (n - 1.0))) if n > 1 else np.inf

    def judge(self, fits: Sequence[FoldFit], calibrated: bool) -> Judged:
        """Judge a fit per fold on the held-out samples: the temperature is fitted to a sample of them."""
        points = [_stored(each) for each in fits]
        correct = self.engine.correct(points)
        if not calibrated:
            return Judged(None, correct)
        loss, temperature, n = fits[0].objective.loss, 1.0, sum(held_out for _, held_out in self.sizes)
        if not loss.probabilistic:
            step = max(1, -(-n * len(points[0][1]) // _MOST_NUMBERS))
            found = self.engine.held_out_sums(sums.some_scores, [(*point, step) for point in points])
            parts = [[part for of_fold in found for part in of_fold[k]] for k in range(3)]
            scores, y, weights = (np.concatenate(part) for part in parts)
            temperature = fit_temperature(scores, y, weights, n)
        found = self.engine.held_out_sums(sums.calibration, [(*point, temperature) for point in points])
        distances, log_loss, weight = (sum(of_fold[k] for of_fold in found) for k in range(3))
        method = "softmax" if loss.probabilistic else "temperature"
        error = float(np.abs(distances).sum()) / weight
        return Judged(Calibration(method, temperature, error, log_loss / weight, N_BINS, n), correct)

    def out_of_fold(self, fits: Sequence[FoldFit], temperature: float | None) -> NoReturn:
        """Raise a `CapabilityError`."""
        raise CapabilityError("Data in shards do not support keep_out_of_fold, which needs memory for all scores.")


def _stored(found: FoldFit) -> tuple[Floats, Floats]:
    """Return W and b of a fit for the features as they are stored."""
    return found.objective.stored(found.fit.W, found.fit.b)
