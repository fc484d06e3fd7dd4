"""The raw samples of a source, from which an extractor computes features: pictures or texts."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.text import quoted

__all__ = ["KEY_BYTES", "Inputs", "Texts", "joined", "keys_of"]

KEY_BYTES = 16
"""Size of a hash, at which 10^9 different samples have different hashes except with a probability of 10^-20."""


class Inputs(ABC):
    """The raw samples of a source."""

    kind: str
    """Either "pictures" or "texts"."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def item(self, k: int, channels: int | None = 3) -> Any:
        """Return a sample: a picture (see `softmargin.data.images.pictures`) or a text.

        It is safe to call this from several threads.
        """

    @abstractmethod
    def label(self, k: int) -> str:
        """Return the name of a sample, for messages."""

    @abstractmethod
    def name(self, k: int) -> str:
        """Return the subject of a message about a sample."""

    @property
    @abstractmethod
    def keys(self) -> NDArray[np.uint8]:
        """A hash of the content of each sample as it is stored, (N, 16)."""

    def take(self, numbers: Sequence[int] | NDArray[np.int64]) -> Inputs:
        """Return the samples with these numbers, in this order."""
        return _Taken([self], np.zeros(len(numbers), np.int64), np.asarray(numbers, np.int64))

    def part(self, begin: int, end: int) -> Inputs:
        """Return some consecutive samples."""
        return self.take(range(begin, end))


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Return the samples of several sources of the same kind."""
    if len(parts) == 1:
        return parts[0]
    sizes = [len(part) for part in parts]
    return _Taken(parts, np.repeat(np.arange(len(parts)), sizes), np.concatenate([np.arange(n) for n in sizes]))


class _Taken(Inputs):
    """Samples of other inputs: sample k is ``parts[places[k]]`` with the number ``numbers[k]``."""

    def __init__(self, parts: Sequence[Inputs], places: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        self._parts, self._places, self._numbers = parts, places, numbers
        self.kind = parts[0].kind

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, k: int, channels: int | None = 3) -> Any:
        return self._parts[self._places[k]].item(int(self._numbers[k]), channels)

    def label(self, k: int) -> str:
        return self._parts[self._places[k]].label(int(self._numbers[k]))

    def name(self, k: int) -> str:
        return self._parts[self._places[k]].name(int(self._numbers[k]))

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        keys = np.empty((len(self), KEY_BYTES), np.uint8)
        for place, part in enumerate(self._parts):
            here = self._places == place
            keys[here] = part.keys[self._numbers[here]]
        return keys


class Texts(Inputs):
    """Texts, such as the cells of a column of a table.

    Parameters
    ----------
    texts : sequence of str
    where : str
        The name of the source in messages.
    """

    kind = "texts"

    def __init__(self, texts: Sequence[str], where: str = "X") -> None:
        self._texts, self._where = texts, where

    def __len__(self) -> int:
        return len(self._texts)

    def label(self, k: int) -> str:
        return f"text {k} of {self._where}"

    def name(self, k: int) -> str:
        return f"{self._where}: the text {quoted(self._texts[k][:40])}"

    def item(self, k: int, channels: int | None = 3) -> str:
        """Return a text in the Unicode form NFC."""
        return unicodedata.normalize("NFC", self._texts[k])

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        return keys_of(self.item(k).encode("utf-8", "surrogatepass") for k in range(len(self)))


def keys_of(contents: Iterable[bytes]) -> NDArray[np.uint8]:
    """Return a hash of each content, (N, 16)."""
    digests = b"".join(hashlib.blake2b(content, digest_size=KEY_BYTES).digest() for content in contents)
    return np.frombuffer(digests, np.uint8).reshape(-1, KEY_BYTES)
