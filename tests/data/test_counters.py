"""Index columns, identifiers and counters, which must not become features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmargin.data import load_dataset
from softmargin.errors import DataError
from tests.support.sources import HAS_ARROW

NOTE = "columns that number or identify the rows are left out: {} (--keep-counters keeps them)"


def table(folder: Path, columns: dict, form: str = "csv", header: bool = True) -> Path:
    """Write columns beside two of noise and a label."""
    n = len(next(iter(columns.values())))
    noise = np.random.default_rng(1).normal(size=(2, n)).round(3).tolist()
    columns = {**columns, "p": noise[0], "q": noise[1], "label": ["u", "v"] * (n // 2)}
    path = folder / f"t.{form}"
    if form == "csv":
        lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join([",".join(columns), *lines] if header else lines) + "\n")
    else:
        import pyarrow as pa
        import pyarrow.parquet

        pa.parquet.write_table(pa.table(columns), path)
    return path


FORMS = ["csv", pytest.param("parquet", marks=pytest.mark.skipif(not HAS_ARROW, reason="needs pyarrow"))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "names",
    [
        ("Unnamed: 0", "Unnamed: 0.1", "Unnamed: 0.1.1"),
        ("index", "ID"),
        ("rownames",),
        ("row_id", "Sample ID"),
        ("level_0", "__index_level_0__"),
        ("Row Number", "sample_index"),
        ("",),
    ],
)
def test_index_columns_are_never_features(tmp_path: Path, form: str, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 99, 6).tolist() for name in names}  # not even counters
    data = load_dataset(table(tmp_path, columns, form))
    assert data.feature_names == ("p", "q")
    assert data.ids is not None
    kept = load_dataset(tmp_path / f"t.{form}", columns=["p", names[-1]])
    assert kept.feature_names == ("p", names[-1])


def test_ids_of_the_user_come_before_those_of_a_table(tmp_path: Path) -> None:
    columns = {"": range(4), "Unnamed: 0": range(4), "Id": ["a", "b", "c", "d"]}
    assert load_dataset(table(tmp_path, columns)).ids == ("a", "b", "c", "d")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", range(12)),
        ("PassengerNumber", range(892, 904)),
        ("t", range(60, 0, -5)),
        ("x", [float(k) for k in range(-6, 6)]),
        ("customer_id", [5, 2, 9, 11, 3, 77, 8, 1, 0, 4, 6, 10]),
        ("OrderID", [15, 12, 19, 11, 3, 77, 8, 1, 0, 4, 6, 10]),
    ],
)
def test_counters_are_left_out(tmp_path: Path, form: str, name: str, values: object) -> None:
    path = table(tmp_path, {name: list(values)}, form)  # type: ignore[call-overload]
    data = load_dataset(path)
    assert data.feature_names == ("p", "q")
    assert NOTE.format(repr(name)) in data.notes
    assert data.X.shape == (12, 2)
    for options in ({"keep_counters": True}, {"columns": [name, "p", "q"]}):
        kept = load_dataset(path, **options)
        assert kept.feature_names == (name, "p", "q")
        np.testing.assert_array_equal(kept.X[:, 1:], data.X)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", [*range(11), 12]),
        ("n", [0.5 + k for k in range(12)]),
        ("n", [0.25 * k for k in range(12)]),
        ("n", [3] * 12),
        ("n", range(8)),
        ("valid", [5, 2, 9, 11, 3, 77, 8, 1, 0, 4, 6, 10]),
        ("store_id", [1, 2, 3, 4] * 3),
        ("n", [float("nan"), *range(11)]),
        ("n", [float("inf")] * 12),
    ],
)
def test_other_columns_stay(tmp_path: Path, form: str, name: str, values: object) -> None:
    data = load_dataset(table(tmp_path, {name: list(values)}, form))  # type: ignore[call-overload]
    assert data.feature_names == (name, "p", "q")


IDENTIFIERS = (
    "CUSTOMER_ID PATIENTID Customer_Id customer_ID Subject.ID customerid userid uid caseid id_patient ID_Patient "
    "Id. ID2 Row row_no S.No obs SEQN case_no patient_nr order_number PatientNo No"
)


@pytest.mark.parametrize("name", [*IDENTIFIERS.split(), "Customer ID", "Sr No"])
def test_identifiers_in_any_case_are_left_out(tmp_path: Path, name: str) -> None:
    values = [105, 112, 119, 123, 130, 131, 208, 301, 302, 404, 560, 610]
    data = load_dataset(table(tmp_path, {name: values}))
    assert data.feature_names == ("p", "q")
    if data.ids is None:
        assert NOTE.format(repr(name)) in data.notes
    values[3] = values[4]
    if data.ids is None:
        assert load_dataset(table(tmp_path, {name: values})).feature_names == (name, "p", "q")


WORDS = "width_px humid grid acid android valid paid liquid HUMID Grid Paid NO piano volcano idle identity"


@pytest.mark.parametrize("name", WORDS.split())
def test_words_that_end_like_identifiers_stay(tmp_path: Path, name: str) -> None:
    values = [105, 112, 119, 123, 130, 131, 208, 301, 302, 404, 560, 610]
    data = load_dataset(table(tmp_path, {name: values}))
    assert data.feature_names == (name, "p", "q")


def test_fractions_are_not_identifiers(tmp_path: Path) -> None:
    data = load_dataset(table(tmp_path, {"CUSTOMER_ID": [k * k + 0.5 for k in range(12)]}))
    assert data.feature_names == ("CUSTOMER_ID", "p", "q")


@pytest.mark.parametrize(("name", "n"), [("X", 4), ("...1", 6), ("X", 8)])
def test_row_numbers_of_r_in_small_tables(tmp_path: Path, name: str, n: int) -> None:
    data = load_dataset(table(tmp_path, {name: range(1, n + 1)}))
    assert data.feature_names == ("p", "q")
    assert NOTE.format(repr(name)) in data.notes
    for column in ({"x": range(1, n + 1)}, {name: range(n)}, {"a": [3] * n, name: range(1, n + 1)}):
        assert load_dataset(table(tmp_path, column)).feature_names == (*column, "p", "q")


def test_a_counter_that_ends_in_a_later_block_stays(tmp_path: Path) -> None:
    data = load_dataset(table(tmp_path, {"n": [*range(9999), 0]}))
    assert data.feature_names == ("n", "p", "q")


def test_only_counters(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t,label\n" + "".join(f"{k},{'uv'[k // 10]}\n" for k in range(20)))
    data = load_dataset(tmp_path / "t.csv")
    assert data.feature_names == ("t",)
    assert any("all features number the rows ('t')" in note for note in data.notes)


def test_a_table_without_names_keeps_the_places_of_its_features(tmp_path: Path) -> None:
    path = table(tmp_path, {"n": list(range(1, 21))}, header=False)
    data = load_dataset(path)
    assert data.feature_names == ("column 1", "column 2")
    again = load_dataset(path, columns=data.feature_names)
    np.testing.assert_array_equal(again.X, data.X)
    assert again.feature_names == data.feature_names
    assert again.y is not None


@pytest.mark.skipif(not HAS_ARROW, reason="needs pyarrow")
def test_a_test_part_has_the_columns_of_training(tmp_path: Path) -> None:
    table(tmp_path, {"n": list(range(12)), "m": [1, 2] * 6}, "parquet").rename(tmp_path / "train.parquet")
    table(tmp_path, {"n": [3, 1] * 6, "m": list(range(12))}, "parquet").rename(tmp_path / "test.parquet")
    data = load_dataset(tmp_path)
    assert data.feature_names == ("m", "p", "q")
    assert data.test is not None
    assert data.test.feature_names == data.feature_names


def test_two_columns_of_one_name_are_still_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a,label\n1,2,u\n")
    with pytest.raises(DataError, match="more than one column 'a'"):
        load_dataset(tmp_path / "t.csv")
