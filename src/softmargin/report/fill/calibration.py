"""Calibration of the model's probabilities."""

from __future__ import annotations

import numpy as np

from softmargin.losses import CrossEntropy, softmax
from softmargin.losses.base import Floats, Ints
from softmargin.metrics import N_BINS, calibration_error, confidence_bins
from softmargin.report.fill.predictions import Predictions
from softmargin.report.panels import Bin, Calibration, Reliability
from softmargin.report.wording import percent, probabilities_from, short
from softmargin.selection.calibration import fit_temperature

__all__ = ["calibration"]

_POINTS = 120
_SEED = 0


def calibration(preds: Predictions) -> Calibration:
    """Return reliability before and after temperature scaling, and the risk–coverage curve."""
    scores, y, own = preds.scores, preds.y, preds.model.temperature
    half = np.random.default_rng(_SEED).permutation(preds.n) % 2 == 0
    temperatures = []
    scaled, ones = np.empty_like(scores), np.ones(len(y))
    for part in (half, ~half):
        # Fitted on one part, evaluated on the other. (With a single sample one part is empty.)
        n = int(part.sum())
        temperature = fit_temperature(scores[part], y[part], ones[part], n) if n else 1.0
        temperatures.append(temperature)
        scaled[~part] = scores[~part] / temperature
    before = _reliability(scores / (own or 1.0), y, preds.correct)
    after = _reliability(scaled, y, preds.correct)
    order = np.argsort(-preds.probabilities.max(axis=1), kind="stable")
    if own is None:
        ordered = np.sort(scores, axis=1)
        order = np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")
    risk = np.cumsum(~preds.correct[order]) / np.arange(1, preds.n + 1)
    places = np.unique(np.linspace(0, preds.n - 1, min(_POINTS, preds.n)).round().astype(int))
    return Calibration(
        probabilistic=preds.model.is_probabilistic,
        temperature=own,
        before=before,
        after=after,
        temperatures=(temperatures[0], temperatures[1]),
        coverage=tuple(((places + 1) / preds.n).tolist()),
        risk=tuple(risk[places].tolist()),
        area=float(risk.mean()),
        words=_words(preds, before, after, temperatures, risk),
    )


def _reliability(scores: Floats, y: Ints, right: np.ndarray) -> Reliability:
    P = softmax(scores)
    confidence = P.max(axis=1)
    places = confidence_bins(confidence)
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
    preds: Predictions, before: Reliability, after: Reliability, temperatures: list[float], risk: Floats
) -> str:
    own, probabilistic = preds.model.temperature, preds.model.is_probabilistic
    start, other = "The scores of this loss are not probabilities: for their softmax the", "temperature scaling"
    if own is not None:
        confidence = percent(sum(b.n * b.confidence for b in before.bins) / preds.n)
        start = f"The mean confidence is {confidence} and the accuracy {percent(1.0 - float(risk[-1]))}; the"
        if not probabilistic:
            start = f"{probabilities_from(own)} {start}"
            other = "a temperature fitted to these samples"
    temperature = short(float(np.sqrt(temperatures[0] * temperatures[1])), 3)
    fitted = f"(temperature {temperature})" if own is None or probabilistic else f"({temperature})"
    half, all_ = percent(float(risk[max(0, len(risk) // 2 - 1)])), percent(float(risk[-1]))
    return (
        f"{start} expected calibration error (ECE) is {percent(before.ece)}, and {percent(after.ece)} with "
        f"{other} {fitted}. The error rate is {all_} on all samples, {half} on the half of the samples with the "
        f"highest confidence."
    )
