"""How far the model's confidence can be taken at its word."""

from __future__ import annotations

import numpy as np

from softmargin.losses import CrossEntropy, softmax
from softmargin.losses.base import Floats, Ints
from softmargin.report.fill.predictions import Predictions
from softmargin.report.panels import Bin, Calibration, Reliability
from softmargin.report.wording import percent
from softmargin.selection.calibration import N_BINS, calibration_error, fit_temperature

__all__ = ["calibration"]

_POINTS = 120
_SEED = 0


def calibration(preds: Predictions) -> Calibration:
    """Return reliability before and after a temperature, and the risk of answering only when confident."""
    scores, y = preds.scores, preds.y
    probabilistic = preds.model.is_probabilistic
    half = np.random.default_rng(_SEED).permutation(preds.n) % 2 == 0
    temperatures = []
    scaled, ones = np.empty_like(scores), np.ones(len(y))
    for part in (half, ~half):
        # Fitted on one part, used on the other. (Of a single sample the other part is empty.)
        n = int(part.sum())
        temperature = fit_temperature(scores[part], y[part], ones[part], n) if n else 1.0
        temperatures.append(temperature)
        scaled[~part] = scores[~part] / temperature
    before = _reliability(scores, y, preds.right)
    after = _reliability(scaled, y, preds.right)
    order = np.argsort(-preds.probabilities.max(axis=1), kind="stable")
    if not probabilistic:
        ordered = np.sort(scores, axis=1)
        order = np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")
    risk = np.cumsum(~preds.right[order]) / np.arange(1, preds.n + 1)
    places = np.unique(np.linspace(0, preds.n - 1, min(_POINTS, preds.n)).round().astype(int))
    return Calibration(
        probabilistic=probabilistic,
        before=before,
        after=after,
        temperatures=(temperatures[0], temperatures[1]),
        coverage=tuple(((places + 1) / preds.n).tolist()),
        risk=tuple(risk[places].tolist()),
        area=float(risk.mean()),
        words=_words(probabilistic, before, after, temperatures, risk),
    )


def _reliability(scores: Floats, y: Ints, right: np.ndarray) -> Reliability:
    P = softmax(scores)
    confidence = P.max(axis=1)
    places = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    bins = []
    for k in range(N_BINS):
        inside = places == k
        n = int(inside.sum())
        if n:
            mean, accuracy = float(confidence[inside].mean()), float(right[inside].mean())
            bins.append(Bin(k / N_BINS, (k + 1) / N_BINS, n, mean, accuracy))
    ece = calibration_error(P, y, np.ones(len(y)))
    return Reliability(tuple(bins), ece, float(CrossEntropy().values(scores, y).mean()))


def _words(
    probabilistic: bool, before: Reliability, after: Reliability, temperatures: list[float], risk: Floats
) -> str:
    middle = float(np.sqrt(temperatures[0] * temperatures[1]))
    sure = sum(b.n * (b.confidence - b.accuracy) for b in before.bins) / sum(b.n for b in before.bins)
    if probabilistic:
        said = (
            f"The model is too {'sure' if sure > 0 else 'unsure'} of itself by {percent(abs(sure))} on average; "
        )
        said += f"counted bin by bin its confidence is off by {percent(before.ece)} (ECE)"
    else:
        said = f"Margins are no probabilities: their softmax is off by {percent(before.ece)} on average (ECE)"
    said += f", and with the scores divided by a temperature of {middle:.3g} by {percent(after.ece)}."
    half = risk[max(0, len(risk) // 2 - 1)]
    return (
        f"{said} If it answers only for the half of the samples that it is surest of, {percent(float(half))} of "
        f"the answers are wrong instead of {percent(float(risk[-1]))}."
    )
