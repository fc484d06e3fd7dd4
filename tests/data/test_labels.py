"""Labels: Unicode forms, missing labels, and labels as the classes of a model."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from softmargin.data import load_dataset
from softmargin.data.labels import labels_like, nfc
from softmargin.errors import DataError
from tests.support.refusals import refused

WORDS = ("Zürich", "Genève", "Łódź", "한국", "Việt Nam", "Ωμέγα", "plain")


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKD"])
def test_words_that_look_equal_are_one_class(form: str) -> None:
    words = [unicodedata.normalize(form, word) for word in WORDS]
    assert nfc(np.array(words)).tolist() == list(WORDS)
    swapped = np.array(words, dtype=np.array(words).dtype.newbyteorder())
    assert nfc(swapped).tolist() == list(WORDS)


def test_what_is_in_its_form_is_not_copied() -> None:
    for labels in (np.array(["Zürich", "한국"]), np.array(["a", "é"]), np.arange(3), np.array([], dtype=np.str_)):
        assert nfc(labels) is labels


def test_forms_of_every_source(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Orléans") for form in ("NFC", "NFD"))
    np.save(tmp_path / "X.npy", np.zeros((2, 1)))
    np.save(tmp_path / "y.npy", np.array([composed, apart]))
    (tmp_path / "l.txt").write_text(f"{apart}\n{composed}\n", "utf-8")
    (tmp_path / "t.csv").write_text(f"a,city\n1,{composed}\n2,{apart}\n", "utf-8")
    np.savez(tmp_path / "z.npz", X=np.zeros((2, 1)), y=np.array([composed, apart]))
    for name in ("X.npy", "t.csv", "z.npz"):
        assert load_dataset(tmp_path / name).y.tolist() == [composed] * 2
    assert load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt").y.tolist() == [composed] * 2


@pytest.mark.parametrize("word", ["NaN", "nan", "null", "NULL", "<NA>", "NaT", "#N/A"])
def test_missing_labels_are_named(tmp_path: Path, word: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,label\n1,u\n2,{word}\n3,v\n")
    refused(lambda: load_dataset(tmp_path / "t.csv"), "line 3 has no label", repr(word))
    np.save(tmp_path / "X.npy", np.zeros((2, 1)))
    (tmp_path / "l.txt").write_text(f"1\n{word}\n")
    refused(
        lambda: load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt"), "line 2 has no label", repr(word)
    )


SPELLINGS = [
    (["0", "1.0", "0", "1"], [0, 1, 0, 1]),
    (["+1", "-1", "1e0", "-1.", "1.00"], [1, -1, 1, -1, 1]),
    (["20", "2e1", "2.0E+01", "3"], [20, 20, 20, 3]),
    (["9007199254740993.0", "1"], [9007199254740993, 1]),
    (["01", "1", "02"], ["01", "1", "02"]),
    (["007", "7.0", "8"], ["007", "7.0", "8"]),
    (["007", "008", "9"], ["007", "008", "9"]),
    (["1", "1.0", "x"], ["1", "1.0", "x"]),
]


@pytest.mark.parametrize(("words", "expected"), SPELLINGS)
@pytest.mark.parametrize("kind", ["table", "file"])
def test_one_integer_in_several_spellings(tmp_path: Path, words: list, expected: list, kind: str) -> None:
    if kind == "table":
        rows = "".join(f"{k}.5,{word}\n" for k, word in enumerate(words))
        (tmp_path / "t.csv").write_text("a,label\n" + rows)
        data = load_dataset(tmp_path / "t.csv")
        values = [word.lstrip("0") for word in words]
        repeated = isinstance(expected[0], str) and len({word.removesuffix(".0") for word in values}) < len(words)
        assert any("are two classes" in note for note in data.notes) == repeated
    else:
        np.save(tmp_path / "X.npy", np.zeros((len(words), 1)))
        (tmp_path / "l.txt").write_text("\n".join(words))
        data = load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt")
    assert data.y.tolist() == expected


@pytest.mark.parametrize("words", [["1", "1.5", "2"], ["0.5", "1.5", "2"], ["1e-1", "1.0", "3"]])
def test_numbers_with_fractions_are_not_labels(tmp_path: Path, words: list) -> None:
    (tmp_path / "t.csv").write_text("a,label\n" + "".join(f"1.5,{word}\n" for word in words))
    refused(lambda: load_dataset(tmp_path / "t.csv"), "must be integers or strings", "regression")


def test_a_huge_exponent_is_not_a_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,label\n1,1e999999999\n2,1e5\n")
    refused(lambda: load_dataset(tmp_path / "t.csv"), "must be integers or strings")


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n\n\n"])
def test_empty_lines_at_the_end_of_labels(tmp_path: Path, end: str) -> None:
    np.save(tmp_path / "X.npy", np.zeros((2, 1)))
    (tmp_path / "l.txt").write_bytes(b"a\nb" + end.encode())
    assert load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt").y.tolist() == ["a", "b"]
    (tmp_path / "l.txt").write_bytes(b"a" + end.encode())
    refused(lambda: load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt"), "1 label for 2 rows of X")
    (tmp_path / "l.txt").write_bytes(b"a\n\nb\n")
    refused(lambda: load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt"), "line 2 has no label")


@pytest.mark.parametrize("name", ["label", "y", "Class"])
def test_a_header_above_labels(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "X.npy", np.zeros((2, 1)))
    (tmp_path / "l.txt").write_text(f"{name}\na\nb\n")
    refused(
        lambda: load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt"), repr(name), "header", "remove it"
    )
    (tmp_path / "l.txt").write_text(f"{name}\na\n")
    assert load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "l.txt").y.tolist() == [name, "a"]


@pytest.mark.parametrize("words", [["+", "-", "+"], ["-", "+", "-"]])
def test_signs_are_classes(tmp_path: Path, words: list) -> None:
    (tmp_path / "t.csv").write_text("a,label\n" + "".join(f"1.5,{word}\n" for word in words))
    assert not any("missing" in note for note in load_dataset(tmp_path / "t.csv").notes)


MARKS = ["?", ".", "-", "--", "missing", "n/a", "NONE", "Missing", "nAn"]


@pytest.mark.parametrize("word", ["NA", "None", "N/A", "Null", *MARKS])
def test_words_that_may_be_classes_are_kept_with_a_note(tmp_path: Path, word: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,label\n1,DE\n2,{word}\n3,FR\n")
    data = load_dataset(tmp_path / "t.csv")
    assert data.y.tolist() == ["DE", word, "FR"]
    assert f"the label {word!r} is a class of its own, not a missing value" in data.notes


@pytest.mark.parametrize(
    ("classes", "given", "expected"),
    [
        (["1", "2", "x"], [2, 1], ["2", "1"]),
        (["1", "2", "x"], ["2.0", "1"], ["2", "1"]),
        (["1.0", "2.0", "x"], [1, 2, 1], ["1.0", "2.0", "1.0"]),
        (["True", "False", "x"], [1, 0], ["True", "False"]),
        (["True", "False", "x"], ["true", "FALSE"], ["True", "False"]),
        (["007", "100", "x"], [100, 7], ["100", "007"]),
        (["007", "7"], ["7", "007", "07"], ["7", "007", "07"]),
        (["1", "True"], ["True", "1"], ["True", "1"]),
        (["a", "b"], ["a", "c"], ["a", "c"]),
        (["é", "b"], [unicodedata.normalize("NFD", "é")], ["é"]),
        ([1, 2], ["2", "1.0", "01"], [2, 1, 1]),
        ([0, 1], ["True", "false"], [1, 0]),
        ([1, 2], [3, 1], [3, 1]),
    ],
)
def test_labels_are_read_as_the_classes(classes: list, given: list, expected: list) -> None:
    y, notes = labels_like(np.array(given), np.array(classes), "here")
    assert y.tolist() == expected
    same = nfc(np.array(given)).astype(str).tolist() == nfc(np.array(expected)).astype(str).tolist()
    assert len(notes) == (not same)


def test_a_word_among_integers_is_named() -> None:
    message = refused(
        lambda: labels_like(np.array(["1", "?", "2", "?"]), np.array([1, 2]), "t.csv"), error=DataError
    )
    assert message == ("t.csv row 1: labels must be integers like the classes of the model, got '?' (in 2 rows).")


def test_class_folders_of_another_form(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("Crème", "Pâté", "plain"):
        folder = tmp_path / "train" / unicodedata.normalize("NFD", name)
        folder.mkdir(parents=True)
        Image.new("L", (3, 3)).save(folder / "a.png")
    assert sorted(load_dataset(tmp_path / "train").y.tolist()) == ["Crème", "Pâté", "plain"]
