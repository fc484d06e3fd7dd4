"""Small extractors, and pictures for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from softmargin.features import FeatureExtractor, registry


class Means(FeatureExtractor):
    """Means of the rows of a picture, times a factor; counts its calls."""

    name = "means"
    calls: ClassVar[list[Any]] = []

    def __init__(self, factor: float = 1.0, image_size: tuple[int, int] | None = None) -> None:
        self.factor = factor
        self.image_size = image_size

    def compute(self, item: Any) -> Any:
        self.calls.append(item)
        return self.factor * np.asarray(item, dtype=np.float64).mean(axis=1).reshape(-1)


class Centred(Means):
    """The same, minus their mean over the training pictures."""

    name = "centred"
    learns = True

    def learned_from(self, inputs: Any, n_threads: int, progress: Any) -> dict[str, Any]:
        rows = [super(Centred, self).compute(inputs.item(k)) for k in range(len(inputs))]
        return {"mean": np.mean(rows, axis=0, dtype=np.float32)}

    def compute(self, item: Any) -> Any:
        return super().compute(item) - self.arrays_["mean"]


class Lengths(FeatureExtractor):
    """Counts of a few letters in a text, and its length."""

    name = "lengths"

    @property
    def takes(self) -> str:
        return "texts"

    def compute(self, item: str) -> Any:
        return np.array([item.count("a"), item.count("b"), len(item)])


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let model files and the command line know these extractors by their names."""
    kinds = {kind.name: kind for kind in (Means, Centred, Lengths)}
    monkeypatch.setattr(registry, "EXTRACTORS", registry.EXTRACTORS | kinds)
    made = registry.make_extractor

    def make(spec: str, **options: Any) -> FeatureExtractor:
        if spec in kinds:
            return kinds[spec]()
        return made(spec, **options)

    monkeypatch.setattr("softmargin.features.make_extractor", make)


def save_pictures(folder: Path, n: int, size: tuple[int, int] = (6, 5), seed: int = 0) -> Path:
    """Save n pictures in each of two class folders, dark ones and bright ones."""
    rng = np.random.default_rng(seed)
    for label, level in (("dark", 60), ("bright", 160)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for k in range(n):
            pixels = rng.integers(level - 50, level + 50, size=(*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{k:03}.png")
    return folder
