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
from softmargin.text import Phrase

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
    temperature = short(float(np.sqrt(temperatures[0] * temperatures[1])), 3)
    start: str = Phrase("The scores of this loss are not probabilities: for their softmax the")
    other = Phrase("temperature scaling (temperature {0})", temperature)
    if own is not None:
        confidence = percent(sum(b.n * b.confidence for b in before.bins) / preds.n)
        accuracy = percent(1.0 - float(risk[-1]))
        start = Phrase("The mean confidence is {0} and the accuracy {1}; the", confidence, accuracy)
        if not probabilistic:
            start = Phrase.joined(" ", [probabilities_from(own), start])
            other = Phrase("a temperature fitted to these samples ({0})", temperature)
    return Phrase(
        "{0} expected calibration error (ECE) is {1}, and {2} with {3}. The error rate is {4} on all samples, {5} "
        "on the half of the samples with the highest confidence.",
        start,
        percent(before.ece),
        percent(after.ece),
        other,
        percent(float(risk[-1])),
        percent(float(risk[max(0, len(risk) // 2 - 1)])),
    )
