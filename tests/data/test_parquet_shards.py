"""Shards that are parquet files: roles of columns, what cannot be used, row groups, and the spool folder."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest

import softmargin as sm
from softmargin.data import parquet_shards, spool
from softmargin.data.shards import open_for_model, output_names
from tests.data.test_shards import check_against_cpu

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def table(n=60, seed=0, dtype=np.float64, **more):
    """Return columns b, a of numbers and ``species`` of text."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = (rng.normal(size=(n, 2)) + y[:, None]).astype(dtype)
    return {"b": X[:, 0], "a": X[:, 1], "species": np.array(["ant", "bee", "cat"])[y]} | more


def write(path, columns, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table(columns), path, **options)
    return columns


def rows(part, *limits):
    return slice(*(limits or (0, part.n_rows)))


@pytest.fixture
def folder(tmp_path):
    """Three files, in the order of their numbers, and all of their rows."""
    tables = [write(tmp_path / "data" / f"part-{k}.parquet", table(n, k)) for k, n in ((2, 50), (9, 30), (10, 60))]
    X = np.concatenate([np.stack([each["b"], each["a"]], axis=1) for each in tables])
    return tmp_path / "data", X, np.concatenate([each["species"] for each in tables])


@pytest.mark.parametrize("spooled", [False, True])
def test_a_fit_is_that_of_the_loaded_table(folder, tmp_path, spooled):
    path, X, y = folder
    options = {"spool": tmp_path / "spool"} if spooled else {}
    data = sm.open_shards(path, **options)
    dataset = sm.load_dataset(path)
    np.testing.assert_array_equal(dataset.X, X)
    assert data.feature_names == dataset.feature_names == ("b", "a")
    assert data.label_column == dataset.label_column == "species"
    assert (data.shape, data.dtype, data.is_sparse) == ((140, 2), np.float64, False)
    assert [part.n_rows for part in data.parts] == [50, 30, 60]
    assert {(part.row_bytes, part.mapped) for part in data.parts} == {(16, spooled)}
    assert not (tmp_path / "spool").exists()  # only metadata were read
    fitted = check_against_cpu(data, X, y)
    np.testing.assert_array_equal(fitted.feature_names_in_, ["b", "a"])
    np.testing.assert_array_equal(data.parts[1].features(slice(3, 7)), X[53:57])
    np.testing.assert_array_equal(data.parts[1].labels(slice(3, 7)), y[53:57])


def test_columns_are_chosen_by_name_and_weights_are_those_of_arrays(tmp_path):
    columns = table(200, w=np.random.default_rng(1).integers(0, 4, 200), site=np.repeat("north", 200))
    write(tmp_path / "t.parquet", columns)
    data = sm.open_shards(tmp_path / "t.parquet", label_column="species", columns=["a", "b"], weights_column="w")
    assert (data.feature_names, data.weights_column) == (("a", "b"), "w")
    X = np.stack([columns["a"], columns["b"]], axis=1)
    for class_weight in (None, "balanced", {"ant": 2.0, "bee": 0.0}):
        check_against_cpu(data, X, columns["species"], columns["w"], class_weight)
    [part] = open_for_model(tmp_path, ("b",), "species", False).parts
    np.testing.assert_array_equal(part.features(slice(0, 200)), columns["b"][:, None])
    with pytest.raises(sm.DataError, match=r"t\.parquet was opened without labels"):
        part.labels(slice(0, 1))


def test_weights_are_repeats(tmp_path):
    columns = table(120)
    w = np.random.default_rng(1).integers(0, 4, 120)
    write(tmp_path / "w" / "t.parquet", columns | {"w": w})
    write(tmp_path / "r" / "t.parquet", {name: np.repeat(column, w) for name, column in columns.items()})
    one = sm.LinearClassifier(tol=1e-8).fit(sm.open_shards(tmp_path / "w", weights_column="w"), None)
    other = sm.LinearClassifier(tol=1e-8).fit(sm.open_shards(tmp_path / "r"), None)
    assert one.value_ == pytest.approx(other.value_, rel=1e-7)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda X: X.astype(np.float16), np.float16),
        (lambda X: X.astype(np.float32), np.float32),
        (lambda X: (30 * abs(X)).astype(np.uint8), np.uint8),
        (lambda X: X > 1, np.bool_),
        (lambda X: np.round(10 * X).astype(np.int64), np.int64),
    ],
)
def test_types_of_columns(tmp_path, make, dtype):
    columns = table(200)
    for name in ("a", "b"):
        columns[name] = make(columns[name])
    write(tmp_path / "t.parquet", columns)
    data = sm.open_shards(tmp_path, spool=tmp_path / "spool")
    assert data.dtype == dtype
    check_against_cpu(data, np.stack([columns["b"], columns["a"]], axis=1), columns["species"], reg=0.1)


def test_columns_of_two_types_have_their_common_type(tmp_path):
    write(tmp_path / "t.parquet", table(dtype=np.float32) | {"k": np.arange(60)[::-1] % 7, "z": np.arange(60) > 9})
    data = sm.open_shards(tmp_path)
    assert data.dtype == sm.load_dataset(tmp_path).X.dtype == np.float64
    np.testing.assert_array_equal(data.parts[0].features(slice(2, 60)), sm.load_dataset(tmp_path).X[2:])


def test_one_column_decimals_and_encodings(tmp_path):
    columns = table()
    words = pa.array(columns["species"]).dictionary_encode()
    write(
        tmp_path / "a.parquet", {"x": pa.array(np.arange(60.0) // 1 / 4).cast(pa.decimal128(6, 2)), "label": words}
    )
    write(tmp_path / "b.parquet", {"label": columns["species"], "x": np.arange(60.0)})
    data = sm.open_shards(tmp_path)
    assert (data.shape, data.dtype, data.label_column) == ((120, 1), np.float64, "label")
    np.testing.assert_array_equal(data.parts[0].features(slice(0, 60)).ravel(), np.arange(60) / 4)
    np.testing.assert_array_equal(data.parts[0].labels(slice(10, 60)), columns["species"][10:])
    np.testing.assert_array_equal(data.parts[1].features(slice(0, 60)).ravel(), np.arange(60))


def test_columns_in_another_order(tmp_path):
    write(tmp_path / "0.parquet", table())
    other = write(tmp_path / "1.parquet", dict(reversed(table(seed=1).items())))
    part = sm.open_shards(tmp_path).parts[1]
    np.testing.assert_array_equal(part.features(slice(0, 60)), np.stack([other["b"], other["a"]], axis=1))


@pytest.mark.parametrize("fixed", [True, False])
def test_a_column_of_lists(tmp_path, fixed):
    """Embeddings beside their labels; the length is known from the metadata."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 5)).astype(np.float32), rng.integers(0, 3, 90)
    for k, some in enumerate(np.array_split(np.arange(90), 2)):
        kind = pa.list_(pa.float32(), 5) if fixed else pa.list_(pa.float32())
        lists = pa.array(list(X[some]), kind)
        write(tmp_path / f"{k}.parquet", {"embedding": lists, "label": y[some]}, row_group_size=20)
    write(tmp_path / "2.parquet", {"embedding": lists[:0], "label": y[:0]})
    data = sm.open_shards(tmp_path)
    assert (data.shape, data.dtype, data.feature_names) == ((90, 5), np.float32, None)
    np.testing.assert_array_equal(data.parts[1].features(slice(15, 45)), X[60:])
    check_against_cpu(data, X, y)
    uneven = pa.array([[1.0], [1.0, 2.0, 3.0]], pa.list_(pa.float32()))
    write(tmp_path / "2.parquet", {"embedding": uneven, "label": y[:2]})
    with pytest.raises(
        sm.DataError, match=r"2\.parquet must have 5 features of type float32 .*, got 2 of type float32"
    ):
        sm.open_shards(tmp_path)
    part = sm.open_shards(tmp_path / "2.parquet").parts[0]
    with pytest.raises(sm.DataError, match=r"2\.parquet row 1, column 'embedding': got 3 numbers, but 1 in row 0"):
        part.features(slice(0, 2))
    with pytest.raises(sm.DataError, match=r"2\.parquet must have 2 numbers in each list, got 3"):
        part.features(slice(1, 2))
    write(tmp_path / "2.parquet", {"embedding": uneven.take(pa.array([0, 1, 1])), "label": y[:3]})
    with pytest.raises(sm.DataError, match=r"column 'embedding' must hold lists of equal length"):
        sm.open_shards(tmp_path / "2.parquet")


def test_labels_of_datasets_have_their_names(tmp_path):
    features = '{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}'
    columns = pa.table({"x": np.arange(4.0), "label": [0, 1, 1, 0]})
    pq.write_table(columns.replace_schema_metadata({"huggingface": features}), tmp_path / "t.parquet")
    part = sm.open_shards(tmp_path).parts[0]
    np.testing.assert_array_equal(part.labels(slice(1, 4)), ["yes", "yes", "no"])


@pytest.mark.parametrize("spooled", [False, True])
def test_files_without_rows_and_row_groups_without_rows(tmp_path, spooled):
    columns = write(tmp_path / "data" / "1.parquet", table())
    write(tmp_path / "data" / "0.parquet", {name: column[:0] for name, column in columns.items()})
    whole = pa.table(columns)
    with pq.ParquetWriter(tmp_path / "data" / "2.parquet", whole.schema) as writer:
        for some in (whole[:0], whole[:25], whole[:0], whole[25:], whole[:0]):
            writer.write_table(some)
    data = sm.open_shards(tmp_path / "data", spool=tmp_path / "spool" if spooled else None)
    assert [part.n_rows for part in data.parts] == [0, 60, 60]
    assert data.parts[0].features(slice(0, 0)).shape == (0, 2)
    X = np.stack([columns["b"], columns["a"]], axis=1)
    for limits in ((0, 60), (24, 26), (25, 60), (0, 25)):
        np.testing.assert_array_equal(data.parts[2].features(slice(*limits)), X[slice(*limits)])
        np.testing.assert_array_equal(data.parts[2].labels(slice(*limits)), columns["species"][slice(*limits)])
    check_against_cpu(data, np.concatenate([X, X]), np.tile(columns["species"], 2))
    for name in ("1", "2"):
        (tmp_path / "data" / f"{name}.parquet").unlink()
    with pytest.raises(sm.DataError, match="data must have rows, got none"):
        sm.open_shards(tmp_path / "data")


def test_a_large_file_is_divided_by_row_groups(tmp_path, monkeypatch):
    columns = write(tmp_path / "big.parquet", table(1000, w=np.arange(1000.0) % 3), row_group_size=90)
    options = {"weights_column": "w", "spool": tmp_path / "spool"}
    whole = sm.open_shards(tmp_path / "big.parquet", **options)
    monkeypatch.setattr(parquet_shards, "_PART_BYTES", 16 * 200)
    data = sm.open_shards(tmp_path / "big.parquet", **options)
    assert [part.n_rows for part in data.parts] == [180] * 5 + [100]
    assert data.parts[1].name.endswith("big.parquet (rows 180 to 359)")
    assert output_names(data) == [f"big-{k}" for k in range(1, 7)]
    assert output_names(whole) == ["big"]
    X = np.stack([columns["b"], columns["a"]], axis=1)
    for k, part in enumerate(data.parts):
        some = slice(180 * k + 7, 180 * k + 95)
        np.testing.assert_array_equal(part.features(slice(7, 95)), X[some])
        np.testing.assert_array_equal(part.labels(slice(7, 95)), columns["species"][some])
        np.testing.assert_array_equal(part.weights(slice(7, 95)), columns["w"][some])
    check_against_cpu(data, X, columns["species"], columns["w"])
    monkeypatch.setattr(parquet_shards, "_PART_BYTES", 1)  # a row group is not divided
    assert {part.n_rows for part in sm.open_shards(tmp_path / "big.parquet").parts} == {90, 10}


def test_names_of_outputs_are_unique(tmp_path):
    for name in ("part1/x", "part2/x", "part2/x-1", "part2/y"):
        write(tmp_path / f"{name}.parquet", table())
    assert output_names(sm.open_shards(tmp_path)) == ["x-2", "x-1", "x-3", "y"]


def with_null(columns, name, kind):
    values = [None if k == 7 else value for k, value in enumerate(columns[name].tolist())]
    return columns | {name: pa.array(values, kind)}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (with_null(table(), "a", pa.float64()), r"row 7, column 'a': the value is missing \(null\)"),
        (
            with_null(table(b=np.arange(60) % 9), "b", pa.int32()),
            r"row 7, column 'b': the value is missing \(null\)",
        ),
        (with_null(table(), "species", pa.string()), r"row 7, column 'species': the value is missing \(null\)"),
        (
            table(w=np.where(np.arange(60) == 7, -1.0, 1)),
            r"row 7, column 'w': a weight must be 0 or lie in 1e-100",
        ),
        (table(w=np.where(np.arange(60) == 7, np.nan, 1)), r"row 7, column 'w': a weight must .*, got nan"),
        (table(w=np.where(np.arange(60) == 7, 1e200, 1)), r"row 7, column 'w': a weight must .*, got 1e\+200"),
        (
            table(a=np.where(np.arange(60) == 7, np.inf, 1)),
            r"Input X contains infinity \(inf\) in row 7, column 1",
        ),
        (table(species=np.where(np.arange(60) == 7, 1.5, 1)), r"column 'species' row 7: labels must be integers"),
    ],
)
@pytest.mark.parametrize("spooled", [False, True])
def test_values_that_cannot_be_used_are_named(tmp_path, columns, message, spooled):
    write(tmp_path / "data" / "t.parquet", columns)
    options = {"label_column": "species", "spool": tmp_path / "spool" if spooled else None}
    options["weights_column"] = "w" if "w" in columns else None
    data = sm.open_shards(tmp_path / "data", **options)
    with pytest.raises(sm.DataError, match=rf"t\.parquet.*{message}"):
        sm.LinearClassifier().fit(data, None)
    if spooled:
        left = [name for name in os.listdir(tmp_path / "spool") if not name.endswith((".npy", ".lock"))]
        assert not left


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            table(site=np.repeat("north", 60)),
            r"column 'site' must hold numbers in shards, got type .*string; choose",
        ),
        (
            table(site=pa.array(["n"] * 60).dictionary_encode()),
            r"column 'site' must .*, got type dictionary<.*; choose",
        ),
        (
            table(when=np.zeros(60, "M8[s]")),
            r"column 'when' must hold numbers in shards, got type timestamp\[ms\]",
        ),
        (table(none=pa.nulls(60)), r"column 'none' must hold numbers in shards, got type null"),
        (table(v=pa.array([[1.0]] * 60)), r"column 'b' must hold numbers in shards, got type double; choose"),
        (
            table(customer_id=np.arange(60)),
            r"column 'customer_id' is named like an identifier; choose the features",
        ),
        (table(b=np.repeat("x", 60), a=np.repeat("x", 60)), r"must have a column of numbers besides the label"),
    ],
)
def test_columns_without_a_role_are_named(tmp_path, columns, message):
    write(tmp_path / "t.parquet", columns)
    with pytest.raises(sm.DataError, match=rf"t\.parquet.*{message}"):
        sm.open_shards(tmp_path, label_column="species")


def test_requested_columns_must_exist_and_hold_numbers(tmp_path):
    write(tmp_path / "t.parquet", table(site=np.repeat("north", 60), when=np.zeros(60, "M8[s]")))

    def refused(error, message, **options):
        with pytest.raises(error, match=message):
            sm.open_shards(tmp_path, **({"columns": ["a"], "label_column": "species"} | options))

    refused(sm.DataError, r"column 'site' must hold numbers in shards, got type .*string", columns=["a", "site"])
    refused(sm.DataError, r"has no column 'c'", columns=["a", "c"])
    refused(sm.ParameterError, "columns must be a non-empty list of column names, got 'a'", columns="a")
    refused(sm.ParameterError, "has no column 'genus'", label_column="genus")
    refused(sm.ParameterError, "has no column 'w' for the weights", weights_column="w")
    refused(sm.DataError, r"column 'site' must hold numbers in shards", weights_column="site")
    refused(sm.DataError, r"column 'when' must hold labels, strings or integers, in shards", label_column="when")
    refused(sm.DataError, r"must have a column of labels; name it with label_column=", label_column=None)


def test_files_that_differ_are_named(tmp_path):
    write(tmp_path / "0.parquet", table())

    def refused(columns, message, error=sm.DataError, **options):
        write(tmp_path / "1.parquet", columns)
        with pytest.raises(error, match=message):
            sm.open_shards(tmp_path, **options)

    more = table()
    refused(table(c=more["a"]), r"1\.parquet must have the features of .*0\.parquet, but it also has 'c'")
    refused({"b": more["b"], "species": more["species"]}, r"1\.parquet .*, but it lacks the feature 'a'")
    refused(
        table(dtype=np.float32), r"1\.parquet must have 2 features of type float64 like .*, got 2 of type float32"
    )
    refused({"b": more["b"], "a": more["a"]}, r"1\.parquet must have a column of labels")
    other = {"b": more["b"], "a": more["a"], "genus": more["species"]}
    refused(other, r"1\.parquet must have its labels in the column 'species' like .*0\.parquet, got 'genus'")
    refused(other, r"1\.parquet has no column 'species'", sm.ParameterError, label_column="species")
    write(tmp_path / "1.parquet", table(species=np.arange(60) % 3))
    data = sm.open_shards(tmp_path, label_column="species")
    with pytest.raises(sm.DataError, match="labels of all shards must have the same type, numbers or strings"):
        sm.LinearClassifier().fit(data, None)


def test_parts_and_places_of_folders(tmp_path):
    write(tmp_path / "train-00000-of-00001.parquet", table(40))
    write(tmp_path / "test-00000-of-00001.parquet", table(20))
    assert sm.open_shards(tmp_path).n_samples == 40
    for name in ("north", "south"):
        write(tmp_path / "places" / name / "t.parquet", table())
    with pytest.raises(sm.DataError, match=r"places has tables in several folders \(north, south\)"):
        sm.open_shards(tmp_path / "places")


def test_damaged_files_are_named(tmp_path):
    write(tmp_path / "t.parquet", table(5000))
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[:-9])
    with pytest.raises(sm.DataError, match=r"t\.parquet is damaged, truncated or of another format"):
        sm.open_shards(tmp_path)
    (tmp_path / "t.parquet").write_bytes(content[:4] + bytes(100) + content[104:])
    data = sm.open_shards(tmp_path)
    with pytest.raises(sm.DataError, match=r"t\.parquet is damaged, truncated or of another format"):
        data.parts[0].features(slice(0, 5000))


@pytest.mark.parametrize("spooled", [False, True])
def test_a_file_that_was_replaced_is_an_error(tmp_path, spooled):
    write(tmp_path / "data" / "t.parquet", table(60))
    data = sm.open_shards(tmp_path / "data", spool=tmp_path / "spool" if spooled else None)
    part = pickle.loads(pickle.dumps(data.parts[0]))
    assert len(pickle.dumps(part)) < 1500
    part.features(slice(0, 60))
    write(tmp_path / "data" / "t.parquet", table(60, seed=1))
    for read in (part.check, lambda: part.features(slice(0, 1)), lambda: part.labels(slice(0, 1))):
        with pytest.raises(
            sm.DataError, match=r"t\.parquet has changed since it was opened; open the shards again"
        ):
            read()


# -- the spool folder ------------------------------------------------------------------------------------------


def test_a_file_is_decoded_once(folder, tmp_path, monkeypatch):
    path, X, y = folder
    spool_folder = tmp_path / "deep" / "spool"
    n_decoded = []
    read = parquet_shards.ParquetPart._batches
    monkeypatch.setattr(
        parquet_shards.ParquetPart, "_batches", lambda part, *more: n_decoded.append(part) or read(part, *more)
    )
    for _ in range(2):
        data = sm.open_shards(path, spool=spool_folder)
        for part, start in zip(data.parts, (0, 50, 80), strict=True):
            assert isinstance(part.features(slice(3, 9)).base, np.memmap)
            np.testing.assert_array_equal(part.features(slice(3, 9)), X[start + 3 : start + 9])
            np.testing.assert_array_equal(part.labels(slice(3, 9)), y[start + 3 : start + 9])
    assert len(n_decoded) == 6
    assert len(list(spool_folder.glob("*.npy"))) == 6
    in_memory = sm.open_shards(path, spool=spool_folder, mapped=False).parts[0]
    assert not in_memory.mapped
    assert in_memory.features(slice(0, 9)).flags.owndata
    other = sm.open_shards(path, columns=["a"], spool=spool_folder).parts[0]  # a file of its own
    np.testing.assert_array_equal(other.features(slice(0, 50)), X[:50, 1:])
    assert len(n_decoded) == 7
    found = next(file for file in spool_folder.glob("*.npy") if np.load(file).dtype == np.float64)
    found.write_bytes(found.read_bytes()[:-1])
    with pytest.raises(sm.DataError, match=r"spool/[0-9a-f]{40}\.npy is truncated"):
        [part.features(slice(0, 1)) for part in (*data.parts, other)]


def test_threads_and_processes_share_a_folder(folder, tmp_path, monkeypatch):
    """Those that need the same file wait for the first of them, and all see the same rows."""
    path, X, _ = folder
    part = sm.open_shards(path, spool=tmp_path / "spool").parts[2]
    n_written, write_it = [], spool.write_atomically
    monkeypatch.setattr(spool, "write_atomically", lambda *a: n_written.append(1) or write_it(*a))
    found = []
    threads = [threading.Thread(target=lambda: found.append(part.features(slice(0, 60)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(n_written) == 1
    assert all(np.array_equal(each, X[80:]) for each in found)
    other = sm.open_shards(path, spool=tmp_path / "other").parts[2]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for each in pool.map(other.features, [slice(0, 60)] * 4):
            np.testing.assert_array_equal(each, X[80:])
    assert len(list((tmp_path / "other").glob("*.npy"))) == 1


def test_a_full_disk_leaves_no_file(folder, tmp_path, monkeypatch):
    path, X, _ = folder
    part = sm.open_shards(path, spool=tmp_path / "spool").parts[0]
    write_it = spool.write_atomically

    def full(pieces):
        yield next(pieces)
        yield next(pieces)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool, "write_atomically", lambda path, pieces: write_it(path, full(pieces)))
    message = r"spool must be a folder with space for the decoded data, but it cannot be written \(No space left"
    with pytest.raises(sm.DataError, match=message):
        part.features(slice(0, 50))
    assert {name.rpartition(".")[2] for name in os.listdir(tmp_path / "spool")} == {"lock"}
    monkeypatch.undo()
    np.testing.assert_array_equal(part.features(slice(0, 50)), X[:50])


def test_a_folder_that_cannot_be_written_is_named(folder, tmp_path):
    path, _, _ = folder
    (tmp_path / "file").write_text("")
    part = sm.open_shards(path, spool=tmp_path / "file" / "spool").parts[0]
    with pytest.raises(sm.DataError, match=r"file/spool must be a folder with space .* \(Not a directory\); set"):
        part.labels(slice(0, 50))
    with pytest.raises(sm.ParameterError, match="spool must not be the folder of the data"):
        sm.open_shards(path, spool=path / ".." / "data")
    with pytest.raises(sm.ParameterError, match="spool must be a string or a path, got 3"):
        sm.open_shards(path, spool=3)
