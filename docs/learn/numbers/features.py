"""Numbers of page 9, What comes after pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm

DATA = Path(__file__).parents[1] / "data"


def standard_error(share: float, n: int) -> float:
    """Return that of a share of n independent samples."""
    return float(np.sqrt(share * (1 - share) / n))


def numbers() -> dict[str, Any]:
    """Return the numbers by their keys."""
    ladder = json.loads((DATA / "ladder.json").read_text("utf-8"))
    accuracy = {rung["name"]: rung["accuracy"] for rung in ladder["rungs"]}
    kmeans, network, n = accuracy["kmeans:1600"], accuracy["efficientnet-lite0"], ladder["n_test"]
    photo = np.zeros((1, 32, 32, 3), np.uint8)
    full, blocks = (sm.features.HOG(**options).fit_transform(photo).shape[1] for options in ({}, {"colours": 0}))

    digits = sm.load_dataset("digits")
    train, test = (np.rint(255 * part.X).astype(np.uint8).reshape(-1, 8, 8) for part in (digits, digits.test))

    def correct(features: Any) -> list[int]:
        """Return how many test digits are classified correctly, as they are and shifted by one pixel."""
        features.fit(train)
        found = sm.LinearClassifier("squared_hinge", reg=0.1, scaling="standard")
        found.fit(features.transform(train), digits.y)
        shifted = (np.roll(test, shift, axis=2) for shift in (0, 1))
        return [int((found.predict(features.transform(each)) == digits.test.y).sum()) for each in shifted]

    by_pixels, by_hog = correct(sm.features.Pixels()), correct(sm.features.HOG(cell=2))
    layers = {
        f"{layer['loss']}_{key}": value
        for layer in ladder["last_layers"]
        for key, value in (layer | {"gap": 1 - layer["value"] / layer["sgd_value"]}).items()
        if key != "loss"
    }
    return layers | {
        "pixels": accuracy["pixels"],
        "hog": accuracy["hog"],
        "kmeans": kmeans,
        "network": network,
        "hog_columns": full,
        "hog_blocks": blocks,
        "hog_colours": full - blocks,
        "hog_sum": full,
        "n_digits": len(digits.test.y),
        "pixels_before": by_pixels[0],
        "pixels_after": by_pixels[1],
        "hog_before": by_hog[0],
        "hog_after": by_hog[1],
        "n_test": n,
        "kmeans_error": standard_error(kmeans, n),
        "network_error": standard_error(network, n),
        "difference": network - kmeans,
    }
