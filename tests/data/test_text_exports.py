"""Tables as other programs export them: read right, or refused with the cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmargin.data import load_dataset
from tests.support.refusals import refused

N = 24
X = np.random.default_rng(3).normal(scale=10.0, size=(N, 3)).round(1)
KINDS = ["Zürich", "Bern", "Genève"]
Y = [KINDS[k % 3] for k in range(N)]


def check(path: Path, names: tuple[str, ...] | None = ("a", "b", "c"), **options):
    data = load_dataset(path, **options)
    np.testing.assert_array_equal(data.X, X)
    assert data.feature_names == names
    assert data.y.tolist() == Y
    return data


def rows(delimiter: str = ",", comma: bool = False, start: str = "", end: str = "", quote: str = "") -> str:
    out = []
    for k, (row, kind) in enumerate(zip(X.tolist(), Y, strict=True)):
        cells = [f"{value:.10g}".replace(".", "," if comma else ".") for value in row]
        out.append(start.format(k=k, n=k + 1) + delimiter.join([*cells, f"{quote}{kind}{quote}"]) + end)
    return "".join(f"{line}\r\n" for line in out)


def test_kaggle(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Id,a,b,c,target\n" + rows(start="{n},"), "utf-8")
    data = check(tmp_path / "train.csv")
    assert data.ids == tuple(str(k + 1) for k in range(N))
    (tmp_path / "people.csv").write_text("PassengerId,a,b,c,target\n" + rows(start="{n},"), "utf-8")
    check(tmp_path / "people.csv")
    (tmp_path / "sample_submission.csv").write_text("Id,target\n" + "".join(f"{k},0\n" for k in range(N)))
    refused(
        lambda: load_dataset(tmp_path / "sample_submission.csv"), "must have a column of numbers besides the label"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
def test_excel_in_german_and_french(tmp_path: Path, encoding: str, first: str) -> None:
    text = first + "a;b;c;Größe\r\n" + rows(";", comma=True) + ";;;\r\n;;;\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    if encoding == "cp1252":
        refused(lambda: load_dataset(tmp_path / "t.csv"), "is not UTF-8 text", "--encoding cp1252")
        data = check(tmp_path / "t.csv", encoding="cp1252")
    else:
        data = check(tmp_path / "t.csv")
    assert any(note.startswith("the comma is read as the decimal mark") for note in data.notes)
    assert any(note.startswith("rows of empty cells are passed over") for note in data.notes)


def test_excel_unicode_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(("a\tb\tc\tkind\r\n" + rows("\t", comma=True)).encode("utf-16"))
    check(tmp_path / "t.txt")


def test_excel_in_american(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c,label,,\n" + rows(end=",,") + ",,,,,\r\n" * 5, "utf-8")
    check(tmp_path / "t.csv")
    text = 'a,b,c,label\n"1,234.50",1,2,u\n"2,345.00",3,4,v\n'
    (tmp_path / "t.csv").write_text(text)
    refused(lambda: load_dataset(tmp_path / "t.csv"), "line 2, column 'a'", "'1,234.50'", "thousands")


def test_pandas_index(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=Y)
    for _ in range(3):  # written and read with its index three times
        frame.to_csv(tmp_path / "t.csv")
        check(tmp_path / "t.csv")
        frame = pd.read_csv(tmp_path / "t.csv")
    assert [*frame.columns[:3]] == ["Unnamed: 0", "Unnamed: 0.1", "Unnamed: 0.2"] or "Unnamed: 0.1" in frame
    frame.set_index("a", append=True).to_csv(tmp_path / "t.csv")
    assert load_dataset(tmp_path / "t.csv").n_features == 3
    pd.DataFrame(X).assign(kind=Y).to_csv(tmp_path / "t.csv", index=False)
    check(tmp_path / "t.csv", ("0", "1", "2"))
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=Y)
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    check(tmp_path / "t.csv")
    dummies = pd.get_dummies(frame.assign(town=["x", "y"] * (N // 2)), columns=["town"])
    dummies.to_csv(tmp_path / "t.csv", index=False)
    data = load_dataset(tmp_path / "t.csv")
    assert data.feature_names == ("a", "b", "c", "town_x", "town_y")
    assert data.X[:2, 3:].tolist() == [[1, 0], [0, 1]]


def test_r(tmp_path: Path) -> None:
    table = '"a" "b" "c" "Species"\n' + rows(" ", start='"{n}" ', quote='"')
    (tmp_path / "t.txt").write_text(table, "utf-8")  # write.table(t)
    data = check(tmp_path / "t.txt")
    assert data.ids == tuple(str(k + 1) for k in range(N))
    assert any("the first column is read as names of the rows" in note for note in data.notes)
    (tmp_path / "t.tsv").write_text('"a"\t"b"\t"c"\t"kind"\n' + rows("\t", start='"{n}"\t', quote='"'), "utf-8")
    check(tmp_path / "t.tsv")  # write.table(t, sep = "\t")
    (tmp_path / "t.csv").write_text('"","a","b","c","kind"\n' + rows(start='"{n}",', quote='"'), "utf-8")
    assert check(tmp_path / "t.csv").ids == data.ids  # write.csv(t)
    (tmp_path / "t2.csv").write_text('"";"a";"b";"c";"kind"\n' + rows(";", True, '"{n}";', quote='"'), "utf-8")
    check(tmp_path / "t2.csv")  # write.csv2(t)
    (tmp_path / "na.csv").write_text('"","a","kind"\n"1",NA,"u"\n"2",1.5,"v"\n')
    refused(lambda: load_dataset(tmp_path / "na.csv"), "line 2, column 'a'", "'NA'", "not imputed")


@pytest.mark.parametrize("delimiter", [",", "|"])
def test_polars_and_duckdb(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(["is_new", "a", "b", "c", "kind"])]
    for k, line in enumerate(rows(delimiter).splitlines()):
        lines.append(f"{'true' if k % 2 else 'false'}{delimiter}{line}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", "utf-8")
    data = load_dataset(tmp_path / "t.csv")
    assert data.feature_names == ("is_new", "a", "b", "c")
    np.testing.assert_array_equal(data.X, np.column_stack([np.arange(N) % 2, X]))
    (tmp_path / "n.csv").write_text("a,b,kind\n1.5,,u\n2.5,3.5,v\n")  # null is an empty cell
    refused(lambda: load_dataset(tmp_path / "n.csv"), "line 2, column 'b'", "an empty cell")


def test_numpy(tmp_path: Path) -> None:
    numbers = np.column_stack([X, np.arange(N) % 3])
    np.savetxt(tmp_path / "t.csv", numbers, delimiter=",", header="a,b,c,label")
    data = load_dataset(tmp_path / "t.csv")
    np.testing.assert_allclose(data.X, X, rtol=1e-15)
    assert data.feature_names == ("a", "b", "c")
    assert data.y.tolist() == [k % 3 for k in range(N)]
    np.savetxt(tmp_path / "t.txt", numbers)
    data = load_dataset(tmp_path / "t.txt", label_column="-1")
    np.testing.assert_allclose(data.X, X, rtol=1e-15)


def column(path: Path, cells: list[str], delimiter: str = ";") -> Path:
    lines = [f"{cell}{delimiter}{7 + k % 2}{delimiter}{'uv'[k % 2]}" for k, cell in enumerate(cells)]
    path.write_text("\n".join([delimiter.join(["Preis", "Menge", "Klasse"]), *lines]) + "\n")
    return path


@pytest.mark.parametrize("delimiter", [";", "\t", ",", "|"])
@pytest.mark.parametrize(
    "cells", [["999", "1.234", "12.500", "850"], ["-3.100", "400", "7"], ["2.000", "0", "310", "1.500"]]
)
def test_points_that_may_separate_thousands(tmp_path: Path, cells: list[str], delimiter: str) -> None:
    path = column(tmp_path / "t.csv", cells, delimiter)
    first = next(cell for cell in cells if "." in cell)
    refused(lambda: load_dataset(path), "'Preis'", "the point", repr(first), "thousands", "--decimal .")
    assert load_dataset(path, decimal=".").X[:, 0].tolist() == list(map(float, cells))
    if delimiter == ";":
        path = column(path, [cell.replace(".", ",") for cell in cells])
        refused(lambda: load_dataset(path), "'Preis'", "the comma", first.replace(".", ","), "--decimal ,")
        assert load_dataset(path, decimal=",").X[:, 0].tolist() == list(map(float, cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["0.125", "0.250", "100"],
        ["1.234", "2.345", "3.456"],
        ["1.234", "2.5", "850"],
        ["1.234", "1500", "850"],
        ["1.234", "85", "7"],
        ["1234.567", "850", "1.234"],
        ["1.250e0", "850", "1.234"],
    ],
)
def test_points_of_decimals(tmp_path: Path, cells: list[str]) -> None:
    data = load_dataset(column(tmp_path / "t.csv", cells))
    assert data.X[:, 0].tolist() == list(map(float, cells))
    data = load_dataset(column(tmp_path / "t.csv", [cell.replace(".", ",") for cell in cells]))
    assert data.X[:, 0].tolist() == list(map(float, cells))


def test_codes_with_points_may_be_labels_and_groups(tmp_path: Path) -> None:
    path = column(tmp_path / "t.csv", ["999", "1.234", "1.234"])
    refused(lambda: load_dataset(path), "'Preis'")
    data = load_dataset(path, groups_column="Preis")
    assert data.groups is not None
    assert data.groups.tolist() == ["999", "1.234", "1.234"]


@pytest.mark.parametrize("cells", [["1,234", "999"], ["12,500", "13,000"], ["-1,234,567", "3"]])
def test_both_readings_of_a_comma_are_named(tmp_path: Path, cells: list[str]) -> None:
    refused(
        lambda: load_dataset(column(tmp_path / "t.tsv", cells, "\t")), "decimal mark", "--decimal ,", "thousands"
    )
    path = column(tmp_path / "t.csv", [f'"{cell}"' for cell in cells], ",")
    refused(lambda: load_dataset(path), "'Preis'", "decimal mark", "--decimal ,", "thousands")


def test_both_readings_of_a_point_are_named(tmp_path: Path) -> None:
    path = column(tmp_path / "t.csv", ["1,5", "1.234", "2,5"])
    refused(lambda: load_dataset(path, decimal=","), "'1.234'", "--decimal .", "thousands")


@pytest.mark.parametrize("cells", [["\u22121.5", "2"], ["3", "\u22124"], ["1.5", "\u22120.25"]])
def test_another_minus_sign_is_named(tmp_path: Path, cells: list[str]) -> None:
    path = column(tmp_path / "t.csv", cells, ",")
    refused(lambda: load_dataset(path), "'Preis'", "minus sign", "U+2212")


@pytest.mark.parametrize("line", [3, 4, 6000])
def test_a_repeated_header_is_named(tmp_path: Path, line: int) -> None:
    path = column(tmp_path / "t.csv", ["1.5", "2"] * 4000, ",")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: line - 1], lines[0], *lines[line - 1 :]]) + "\n")
    refused(lambda: load_dataset(path), f"line {line} repeats the names of the columns")


@pytest.mark.parametrize("table", ["a,b,label\n", "a;b;label\n;;\n", "# comment\na\tb\tlabel"])
def test_a_header_without_rows(tmp_path: Path, table: str) -> None:
    (tmp_path / "t.csv").write_text(table)
    refused(lambda: load_dataset(tmp_path / "t.csv"), "has no rows")


@pytest.mark.parametrize("name", ["t.xlsx", "T.SAV", "t.dta", "t.ods"])
def test_tables_of_other_programs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    refused(lambda: load_dataset(tmp_path / name), name, "save it as CSV")


@pytest.mark.parametrize("name", ["t.csv.bz2", "t.tsv.xz", "t.csv.zst"])
def test_tables_of_other_compression(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"BZh9")
    refused(lambda: load_dataset(tmp_path / name), name, "gzip (.gz)", "unpack")
