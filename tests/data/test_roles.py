"""Columns of groups and of weights: read, and never features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin.data import stream_dataset
from softmargin.errors import DataError, ParameterError

ROWS = (
    ("p1", "ill", 0.5, 1.5, 3.0),
    ("p1", "well", 1.0, 2.5, 4.25),
    ("p7", "ill", 2.0, -1.0, 5.0),
    ("p2", "well", 0.25, 0.125, 6.5),
)
NAMES = ("patient", "diagnosis", "w", "a", "b")
ROLES = {"groups_column": "patient", "weights_column": "w"}


def text(delimiter: str, comma: bool = False, header: bool = True) -> str:
    lines = [delimiter.join(NAMES)] if header else []
    lines += [delimiter.join(map(str, row)) for row in ROWS]
    return "\n".join(line.replace(".", ",") if comma else line for line in lines) + "\n"


def written(folder: Path, kind: str) -> Path:
    if kind == "parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        path = folder / "t.parquet"
        columns = map(list, zip(*ROWS, strict=True))
        parquet.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), path)
        return path
    path = folder / ("t.tsv" if kind == "tab" else "t.csv")
    path.write_text(text({"comma": ",", "tab": "\t", "excel": ";"}[kind], comma=kind == "excel"))
    return path


@pytest.mark.parametrize("kind", ["comma", "tab", "excel", "parquet"])
@pytest.mark.parametrize("columns", [None, ["b", "a"]])
def test_groups_and_weights_are_no_features(kind: str, columns: Any, tmp_path: Path) -> None:
    data = sm.load_dataset(written(tmp_path, kind), columns=columns, **ROLES)
    assert data.groups is not None
    assert data.weights is not None
    assert data.groups.tolist() == ["p1", "p1", "p7", "p2"]
    assert data.weights.tolist() == [0.5, 1.0, 2.0, 0.25]
    assert data.weights.dtype == np.float64
    assert data.y is not None
    assert data.y.tolist() == ["ill", "well", "ill", "well"]  # the only other column of text
    assert data.feature_names == ("a", "b") if columns is None else ("b", "a")
    assert data.X[1].tolist() == ([2.5, 4.25] if columns is None else [4.25, 2.5])
    assert not any("left out" in note for note in data.notes)
    part = data.take(np.array([3, 0]))
    assert part.groups is not None
    assert part.weights is not None
    assert (part.groups.tolist(), part.weights.tolist()) == (["p2", "p1"], [0.25, 0.5])
    assert part.X.tolist() == data.X[[3, 0]].tolist()
    plain = sm.load_dataset(written(tmp_path, kind), label_column="diagnosis")
    assert (plain.groups, plain.weights) == (None, None)
    assert plain.feature_names == ("w", "a", "b")


def test_columns_without_names_are_given_by_their_places(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("".join(f"{k},{k % 2},{k / 7},{k * k},{k // 2}\n" for k in range(8)))
    data = sm.load_dataset(tmp_path / "t.csv", label_column="1", groups_column="4", weights_column="2",
                           keep_counters=True, header=False)  # fmt: skip
    assert data.X.tolist() == [[k, k * k] for k in range(8)]
    assert data.groups is not None
    assert data.groups.tolist() == [str(k // 2) for k in range(8)]


def test_groups_may_be_numbers_and_words(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("g,x,y\n7,1,0\np1,2,1\n07,3,0\n")
    data = sm.load_dataset(tmp_path / "t.csv", groups_column="g", keep_counters=True)
    assert data.groups is not None
    assert data.groups.tolist() == ["7", "p1", "07"]


def test_many_rows_are_joined(tmp_path: Path) -> None:
    lines = [f"g{k // 3},{k},{'ab'[k % 2]},{k * 0.5}\n" for k in range(10_000)]
    (tmp_path / "t.csv").write_text("who,x,y,w\n" + "".join(lines))
    data = sm.load_dataset(tmp_path / "t.csv", groups_column="who", weights_column="w", keep_counters=True)
    assert data.groups is not None
    assert data.weights is not None
    assert data.groups[9_999] == "g3333"
    assert np.array_equal(data.weights, np.arange(10_000) * 0.5)


HAS_NO = "has no column 'who' for the"
BOTH = "must not be the label, the text or a feature, got"
MISTAKES: list[tuple[dict[str, Any], str, type[Exception]]] = [
    ({"groups_column": "who"}, f"{HAS_NO} groups; its columns are 'patient', ", ParameterError),
    ({"weights_column": "who"}, f"{HAS_NO} weights; its columns are ", ParameterError),
    ({"groups_column": "a", "columns": ["a", "b"]}, f"groups_column= {BOTH} 'a'", ParameterError),
    ({"weights_column": "w", "label_column": "w"}, f"weights_column= {BOTH} 'w'", ParameterError),
    ({"groups_column": 2.5}, "groups_column must be the name or position of a column, got", ParameterError),
    ({"weights_column": "patient"}, "line 2, column 'patient' must hold a number, got 'p1'", DataError),
]


@pytest.mark.parametrize(("options", "words", "error"), MISTAKES)
def test_mistakes(options: dict[str, Any], words: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        sm.load_dataset(written(tmp_path, "comma"), **options)
    assert words in str(caught.value)


def test_a_group_may_not_be_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("g,x,y\na,1,0\n,2,1\nb,3,0\n")
    with pytest.raises(DataError, match="line 3, column 'g' must hold a group, got an empty cell"):
        sm.load_dataset(tmp_path / "t.csv", groups_column="g")
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"g": ["a", None], "x": [1.0, 2.0], "y": [0, 1]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 1, column 'g': the value is missing"):
        sm.load_dataset(tmp_path / "t.parquet", groups_column="g")


def test_only_tables_have_such_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.eye(4), y=np.arange(4) % 2)
    for name in ("groups_column", "weights_column"):
        with pytest.raises(ParameterError, match=f"{name}= is only for a table"):
            sm.load_dataset(tmp_path / "t.npz", **{name: "a"})  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["groups_column", "weights_column"])
@pytest.mark.parametrize("name", ["label", "Class", "target", "y"])
def test_a_role_never_changes_the_label(tmp_path: Path, name: str, role: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,{name},site\n1.5,1,u\n2.5,2,v\n3.5,1,u\n")
    with pytest.raises(ParameterError, match=f"{role}= must not be the usual name of the label, got '{name}'"):
        sm.load_dataset(path, **{role: name})
    data = sm.load_dataset(path, label_column="site", **{role: name})
    assert data.y is not None
    assert data.y.tolist() == ["u", "v", "u"]
    path.write_text(f"a,{name},category\n1.5,1,u\n2.5,2,v\n3.5,1,u\n")
    data = sm.load_dataset(path, **{role: name})
    assert data.label_column == "category"


@pytest.mark.parametrize("word", ["NA", "nan", "", "null", "?", "missing", "None"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_groups_are_named(tmp_path: Path, word: str, kind: str) -> None:
    path = tmp_path / f"t.{kind}"
    groups = ["p", word, "q", word]
    if kind == "csv":
        path.write_text("a,g,label\n" + "".join(f"{k}.5,{g},{'uv'[k % 2]}\n" for k, g in enumerate(groups)))
        place = "line 3, column 'g'"
    else:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({"a": [0.5] * 4, "g": groups, "label": ["u", "v"] * 2}), path)
        place = "row 1, column 'g'"
    with pytest.raises(DataError, match=place):
        sm.load_dataset(path, groups_column="g")


@pytest.mark.parametrize("groups", [[1.0, float("nan"), 2.0], ["a", float("nan"), "b"], ["a", None, "b"]])
def test_missing_groups_of_arrays_are_named(groups: list[Any]) -> None:
    from softmargin.selection.groups import group_numbers

    with pytest.raises(DataError, match=r"groups must name the group of each sample, got .* in row 1"):
        group_numbers(groups, 3)
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
    model = sm.LinearClassifier(reg=0.1).fit(X, y)
    with pytest.raises(DataError, match=r"groups must name the group of each sample, got .* in row 1"):
        sm.evaluate(model, X, y, groups=groups)


@pytest.mark.parametrize("cells", [["0.5", "1.5", "2.5"], ["7", "7", "8"], ["-1.25", "3", "4"]])
def test_columns_without_names_are_features(tmp_path: Path, cells: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "a,,,label\n" + "".join(f"{k * k},{c},{9 - k * k},{'uv'[k % 2]}\n" for k, c in enumerate(cells))
    )
    data = sm.load_dataset(path)
    assert data.feature_names == ("a", "column 1")
    assert data.ids == ("9", "8", "5")  # distinct whole numbers
    assert "columns without a name are called by their position: 'column 1'" in data.notes
    again = sm.load_dataset(path, columns=("column 2", "column 1"))
    assert again.X[:, 1].tolist() == list(map(float, cells))
    path.write_text(",a,label\n" + "".join(f"{c},{k * k},{'uv'[k % 2]}\n" for k, c in enumerate(cells)))
    first = sm.load_dataset(path).feature_names
    assert first == (("a",) if "." not in cells[0] else ("column 0", "a"))  # an index may be repeated


@pytest.mark.parametrize("label", ["3", "-1", None])
def test_a_model_without_names_predicts_rows_without_labels(tmp_path: Path, label: str | None) -> None:
    rows = [f"{k + 1},{k * k % 7}.5,{k * 3 % 5}.25" for k in range(12)]
    (tmp_path / "t.csv").write_text("".join(f"{row},{'uv'[k % 2]}\n" for k, row in enumerate(rows)))
    (tmp_path / "n.csv").write_text("\n".join(rows) + "\n")
    data = sm.load_dataset(tmp_path / "t.csv", label_column=label)
    assert data.feature_names == ("column 1", "column 2")
    parts = stream_dataset(
        tmp_path / "n.csv", label_column=data.label_column, columns=data.feature_names, n_features=2
    )
    assert parts is not None
    assert np.concatenate([part.X for part in parts]).tolist() == data.X.tolist()
    parts = stream_dataset(
        tmp_path / "t.csv", label_column=data.label_column, columns=data.feature_names, n_features=2
    )
    assert parts is not None
    assert np.concatenate([part.X for part in parts]).tolist() == data.X.tolist()
