"""Labels beside a .npy file, and messages about a folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmargin.data import load_dataset
from softmargin.text import quoted
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("features", "labels"),
    [("X.npy", "y.txt"), ("X.npy", "labels.txt"), ("X.npy", "labels.npy"), ("features.npy", "labels.txt")],
)
def test_labels_are_found_beside_an_array(tmp_path: Path, features: str, labels: str) -> None:
    np.save(tmp_path / features, np.eye(3))
    if labels.endswith(".npy"):
        np.save(tmp_path / labels, np.array(["a", "b", "a"]))
    else:
        (tmp_path / labels).write_text("a\nb\na\n")
    data = load_dataset(tmp_path / features)
    assert data.y is not None
    assert data.y.tolist() == ["a", "b", "a"]
    assert f"labels read from {labels} beside {features}" in data.notes


def test_a_folder_of_other_arrays_is_explained(tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", np.eye(3))
    assert not any("joined" in note for note in load_dataset(tmp_path).notes)
    np.save(tmp_path / "patients.npy", np.arange(3))
    refused(lambda: load_dataset(tmp_path), "read as shards", "patients.npy", "(3,)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\\d+", "'a\\d+'"), ("1\u202f789", "'1\\u202f789'"), ("it's", '"it\'s"'), ("plain", "'plain'")],
)
def test_quoted_text_is_escaped_once(text: str, expected: str) -> None:
    assert quoted(text) == expected
