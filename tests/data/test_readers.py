"""Every format gives the same data set; what cannot be read is refused with its place; nothing is unpickled."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.sparse import csc_array, csr_array, issparse, save_npz

import softmargin as sm
from softmargin.data import load_dataset, openml, stream_dataset
from softmargin.data.labels import MISSING
from softmargin.errors import CapabilityError, ParameterError
from tests.data.test_data import refused
from tests.fuzz import fuzz_here
from tests.support.files import write
from tests.support.problems import n_cases
from tests.support.sources import (
    HAS_ARROW,
    idx_bytes,
    png,
    safetensors_bytes,
    svmlight_text,
    table,
    write_others,
    write_tables,
)

needs_arrow = pytest.mark.skipif(not HAS_ARROW, reason="pyarrow (the extra frames) is not installed")
IN_ONE_FOLDER = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
PATTERNS = ("npy", "npz", "safetensors", "csv", "tsv", "npy-shards") + (
    ("parquet", "feather", "arrow-lists", "parquet-lists", "parquet-shards", "datasets") if HAS_ARROW else ()
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    return write_tables(folder, *table()) | write_others(folder)


# ---- the same data from every format ----


@pytest.mark.parametrize("name", PATTERNS)
def test_each_format_gives_the_same_arrays(world, name):
    X, y = table()
    data = load_dataset(world[name].path)
    assert data.X.dtype == np.float64
    assert data.X.flags.c_contiguous
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.y, y)
    assert data.y.dtype == np.int64


@pytest.fixture(scope="module")
def weights():
    X, y = table()
    return sm.LinearClassifier("squared_hinge", reg=1e-2, tol=1e-3).fit(X, y).coef_


@pytest.mark.parametrize("name", PATTERNS)
def test_each_format_gives_the_same_bits_of_W(world, name, weights):
    data = load_dataset(world[name].path)
    made = sm.LinearClassifier("squared_hinge", reg=1e-2, tol=1e-3).fit(data.X, data.y)
    assert made.coef_.tobytes() == weights.tobytes()


@pytest.mark.parametrize("name", ["npy", "safetensors", "idx"])
def test_what_can_be_mapped_is_mapped(world, name):
    X = load_dataset(world[name].path).X
    assert isinstance(X, np.memmap)
    assert not X.flags.writeable


@needs_arrow
def test_one_column_of_lists_stays_mapped(world):
    X = load_dataset(world["arrow-lists"].path).X
    assert not X.flags.writeable
    assert not X.flags.owndata


def test_names_of_columns_are_kept(world):
    for name in ("csv", "tsv", *(("parquet", "feather") if HAS_ARROW else ())):
        data = load_dataset(world[name].path)
        assert data.feature_names == ("f0", "f1", "f2", "f3", "f4")
        assert data.notes == ("column 'label' is used as the label",)


# ---- roles of columns ----


@pytest.mark.parametrize(
    ("text", "options", "y", "features"),
    [
        ("a,b,Target\n1,2,x\n", {}, ["x"], ("a", "b")),
        ("a,b,c\n1,2,x\n", {}, ["x"], ("a", "b")),
        ('a, b, kind\n1, 2, x\n3,4,x\n5,6,"x"\n7,8, "u, v"\n', {}, ["x", "x", "x", "u, v"], ("a", "b")),
        ('a,b,kind\n1,2," x"\n3,4,x \t\n', {}, [" x", "x"], ("a", "b")),
        ("a,b,y\n1,2,True\n3,4,false\n", {}, [1, 0], ("a", "b")),
        ("a,b,y\n1,2,True\n3,4,maybe\n", {}, ["True", "maybe"], ("a", "b")),
        ("a,b,c\n1,2,3\n", {}, None, ("a", "b", "c")),
        ("x,y,kind\n.1,-.13,ant\n", {}, ["ant"], ("x", "y")),
        ("X,Y,kind\n1,2,ant\n", {}, ["ant"], ("X", "Y")),
        ("x,y,kind\n1,2,ant\n", {"columns": ["x"]}, ["ant"], ("x",)),
        ("x,y,label\n1,2,3\n", {}, [3], ("x", "y")),
        ("y,label,a\nu,ant,1\n", {"label_column": "y"}, ["u"], ("a",)),
        ("a,y,u,v\n1,2,one,two\n", {}, [2], ("a",)),
        ("a,b,c\n1,2,3\n", {"label_column": "b"}, [2], ("a", "c")),
        ("id,a,c,text\n7,2,3,hello\n", {"label_column": "c"}, [3], ("a",)),
        ("a;b;y\n1;2;007\n", {}, ["007"], ("a", "b")),
        ("a,y\n1,1.0\n2,3.\n", {}, [1, 3], ("a",)),
        ("1,2,x\n3,4,y\n", {}, ["x", "y"], None),
        ("1,2,3\n3,4,5\n", {"label_column": "-1"}, [3, 5], None),
        ("1,2,3\n3,4,5\n", {"label_column": "0"}, [1, 3], None),
        ("label,1,2\n0,5,6\n", {}, [0], ("1", "2")),
        ("a,b,c,y\n1,2,3,0\n", {"columns": ["c", "a"]}, [0], ("c", "a")),
        ('"a ""q""",y\r\n1,"u,\n v"\r\n', {}, ["u,\n v"], ('a "q"',)),
        ("\ufeffa,y\n1,ä\n\n2,ö\n", {}, ["ä", "ö"], ("a",)),
    ],
)
def test_columns_of_text(tmp_path, text, options, y, features):
    data = load_dataset(write(tmp_path / "t.csv", text), **options)
    assert (None if data.y is None else data.y.tolist()) == y
    assert data.feature_names == features
    if features == ("c", "a"):
        assert data.X.tolist() == [[3.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, ["is empty"]),
        ("\n\n", {}, ["holds only empty lines"]),
        ("a,b\n1\n", {}, ["line 2 has 1 cell; expected 2 as in the first line"]),
        ("a,b\n1,2\n1,2,3\n", {}, ["line 3 has 3 cells; expected 2"]),
        ("a,b,y\n1,2,u\n1,?,v\n", {}, ["line 3", "'b'", "must hold a number, got '?'"]),
        ("a,b,y\n1,,u\n1,2,v\n", {}, ["line 2", "'b'", "got an empty cell"]),
        ("a,b,y\nx,2,u\n1,2,v\n", {}, ["column 'a'", "'x'", "line 3"]),
        ("a,y\n1_0,u\n1,v\n", {}, ["column 'a'", "'1_0'"]),
        ("a,y\n1,\n", {}, ["line 2 has no label"]),
        (
            "a,y\n1,0.5\n",
            {},
            [
                "t.csv column 'y' row 0: labels must be integers or strings, got 0.5",
                "label_column= (--label-column)",
            ],
        ),
        ("a,a,y\n1,2,3\n", {}, ["more than one column 'a'"]),
        ("a,label,y\n1,2,3\n", {}, ["several possible label columns", "'label', 'y'", "label_column="]),
        ("name,y\nbob,1\n", {}, ["must have a column of numbers", "'name'"]),
        ("a,y\n1,2\n", {"columns": ["a", "b"]}, ["no column 'b'", "'a', 'y'"]),
        (b"a,y\n1,\xff\n", {}, ["is not UTF-8 text"]),
        ("a,y\n1,2\n".encode("utf-16-le"), {}, ["UTF-8", "--encoding utf-16-le"]),
        (b"a\0,y\n1,2\n", {}, ["contains null bytes"]),
        ('a,y\n1,"never ends\n', {}, ["is not a valid table"]),
    ],
)
def test_text_refused(tmp_path, text, options, words):
    refused(["t.csv", *words], write(tmp_path / "t.csv", text), **options)


def test_label_that_is_no_column(tmp_path):
    path = write(tmp_path / "t.csv", "a,y\n1,2\n")
    refused(["no column 'z'", "'a', 'y'"], path, ParameterError, label_column="z")
    path = write(tmp_path / "n.csv", "1,2\n3,4\n")
    refused(["position from 0 to 1"], path, ParameterError, label_column="5")
    refused(
        ["must not repeat a column, got 'a'"],
        write(tmp_path / "t.csv", "a,y\n1,2\n"),
        ParameterError,
        columns=["a"] * 2,
    )
    for columns in ([], "", "ay", ["a", 1], 3):
        refused(["columns must be a non-empty list of column names, got"], path, ParameterError, columns=columns)
    refused(["label_column=", "a table"], "digits", ParameterError, label_column="y")
    refused(["columns=", "a table"], "digits", ParameterError, columns=["y"])


def test_a_late_stray_cell_is_found_in_a_long_table(tmp_path):
    lines = ["a,y\n", *(f"{k},{k % 2}\n" for k in range(9000)), "oops,1\n"]
    refused(["line 9002", "'a'", "must hold a number, got 'oops'"], write(tmp_path / "t.csv", "".join(lines)))
    lines[-1] = "9000,word\n"  # in the label it only makes words of all
    assert load_dataset(write(tmp_path / "t.csv", "".join(lines))).y[[0, 1, -1]].tolist() == ["0", "1", "word"]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda cell: cell.strip() and not any(c.isdigit() for c in cell) and cell.strip(" \t") not in MISSING
)


@settings(
    max_examples=n_cases(60, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    X=hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(width=64)),
    words=st.lists(cells, min_size=6, max_size=6),
    delimiter=st.sampled_from(",\t"),
)
def test_a_round_trip_through_csv(tmp_path, X, words, delimiter):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow([*(f"f{k}" for k in range(X.shape[1])), "y"])
    for row, word in zip(X, words, strict=False):
        writer.writerow([*map(repr, row.tolist()), word])
    path = tmp_path / ("t.csv" if delimiter == "," else "t.tsv")
    path.write_bytes(stream.getvalue().encode())
    data = load_dataset(path)
    np.testing.assert_array_equal(data.X, X)
    rows = words[: len(X)]
    # The writer puts no quotes around blanks alone.
    bare = [word if set(word) & {*delimiter, *'"\r\n'} else word.strip(" \t") for word in rows]
    if all(word.lower() in ("true", "false") for word in bare):
        bare = [int(word.lower() == "true") for word in bare]
    assert data.y.tolist() == bare


@needs_arrow
@settings(
    max_examples=n_cases(40, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(),
    dtype=st.sampled_from(["f2", "f4", "f8", "u1", "i2", "i8", "?"]),
    fixed=st.booleans(),
    labels=st.sampled_from(["int8", "string", "dictionary"]),
)
def test_a_round_trip_through_arrow(tmp_path, data, dtype, fixed, labels):
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    shape = st.tuples(st.integers(1, 6), st.integers(1, 4))
    X = data.draw(hnp.arrays(np.dtype(dtype), shape))
    n, d = X.shape
    codes = pa.array([k % 3 for k in range(n)], pa.int8())
    y = codes if labels == "int8" else pa.array([f"c{k % 3}" for k in range(n)])
    y = y.dictionary_encode() if labels == "dictionary" else y
    values = pa.array(X.ravel())
    lists = (
        pa.FixedSizeListArray.from_arrays(values, d)
        if fixed
        else pa.ListArray.from_arrays(pa.array(range(0, n * d + 1, d), pa.int32()), values)
    )
    made = pa.table({"emb": lists, "label": y})
    pa.feather.write_feather(made, tmp_path / "t.feather")
    pa.parquet.write_table(made, tmp_path / "t.parquet")
    for name in ("t.feather", "t.parquet"):
        found = load_dataset(tmp_path / name)
        assert found.X.dtype == X.dtype
        np.testing.assert_array_equal(found.X, X)
        assert found.y.tolist() == y.to_pylist()


@needs_arrow
def test_tables_of_arrow_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table_of(**columns):
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    refused(["row 1", "'a'", "the value is missing (null)"], table_of(a=[1, None, 3], label=[0, 1, 0]))
    refused(["row 2", "'label'", "the value is missing (null)"], table_of(a=[1, 2, 3], label=["x", "y", None]))
    refused(["row 1", "'emb'", "got 3 numbers", "2 in row 0"], table_of(emb=[[1.0, 2], [1.0, 2, 3]], label=[0, 1]))
    refused(["row 1", "number 0 is missing (null)"], table_of(emb=[[1.0, 2], [None, 2]], label=[0, 1]))
    refused(["2 columns of lists", "columns="], table_of(a=[[1.0]], b=[[2.0]], label=[0]))
    assert load_dataset(tmp_path / "t.parquet", columns=["b"]).X.tolist() == [[2.0]]
    refused(
        ["must have a column of numbers", "'when'"], table_of(when=pa.array([0], pa.timestamp("s")), label=[0])
    )
    refused(["row 1", "no image"], table_of(image=[{"bytes": png(np.random.default_rng(0))}, {"bytes": None}]))
    refused(["row 0", "damaged"], table_of(image=[{"bytes": b"nothing"}]))


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    write(tmp_path / "t.parquet", b"PAR1")
    with pytest.raises(
        CapabilityError, match=r'needs the package pyarrow; .* python -m pip install "\.\[frames\]"'
    ):
        load_dataset(tmp_path / "t.parquet")


@needs_arrow
def test_names_of_classes_and_splits_as_datasets_has_them(tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = datasets.Features(
        {"emb": datasets.Sequence(datasets.Value("float32")), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"emb": [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], "label": [1, 0, 1]}
    made = datasets.Dataset.from_dict(rows, features=features)
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets.DatasetDict({"train": made, "test": made.select([2]), "more": made}).save_to_disk(
            tmp_path / "saved"
        )
        made.to_parquet(tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "saved")
    assert data.y.tolist() == ["yes", "no", "yes"]
    assert data.X.dtype == np.float32
    assert data.test.y.tolist() == ["yes"]
    assert data.test.X.tolist() == [[4.5, 5.5]]
    assert any("left out of saved: more" in note for note in data.notes)
    assert load_dataset(tmp_path / "saved" / "more").X.tolist() == rows["emb"]
    assert load_dataset(tmp_path / "t.parquet").y.tolist() == ["yes", "no", "yes"]


@needs_arrow
def test_folders_saved_by_datasets_that_are_damaged(world, tmp_path):
    import shutil

    folder = tmp_path / "saved"
    shutil.copytree(world["datasets"].path, folder)
    for text, words in (
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "lists no data files"),
        ('{"_data_files": [{"filename": "../X.npy"}]}', "lists no data files in this folder"),
        ('{"_data_files": [{"filename": "x.arrow"}], "_indices_data_files": [1]}', "by an index"),
        ('{"_data_files": [{"filename": "missing.arrow"}]}', "missing.arrow"),
    ):
        (folder / "state.json").write_text(text)
        refused([words], folder)


def test_parts_and_order_of_shards(tmp_path):
    for part, k in (("train", 10), ("train", 2), ("test", 1)):
        np.save(tmp_path / f"X_{part}_{k}.npy", np.full((2, 3), k))
        np.save(tmp_path / f"y_{part}_{k}.npy", np.array([k, k]))
    data = load_dataset(tmp_path)
    assert data.X[:, 0].tolist() == [2, 2, 10, 10]
    assert data.y.tolist() == [2, 2, 10, 10]
    assert data.test.y.tolist() == [1, 1]
    (tmp_path / "y_train_2.npy").unlink()
    refused(["X_train_2.npy must have a file of labels beside it"], tmp_path)
    np.save(tmp_path / "X_train_2.npy", np.zeros((2, 4)))
    refused(["X_train_10.npy must have 4 features", "X_train_2.npy", "got 3"], tmp_path)


# ---- tensors and sparse features ----


def test_tensors_of_every_type_and_bfloat16(tmp_path):
    path = tmp_path / "t.safetensors"
    for kind, dtype in (("F16", "<f2"), ("F32", "<f4"), ("U8", "u1"), ("I16", "<i2"), ("BOOL", "?")):
        X = np.arange(6).reshape(3, 2).astype(dtype)
        path.write_bytes(safetensors_bytes({"embeddings": X}, {"embeddings": kind}))
        found = load_dataset(path).X
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, X)
    X = np.array([[1.5, -2.0], [0.0, 3.0e38]], np.float32)
    upper = (X.view(np.uint32) >> 16).astype("<u2")
    path.write_bytes(safetensors_bytes({"X": upper}, {"X": "BF16"}))
    np.testing.assert_array_equal(load_dataset(path).X, (upper.astype(np.uint32) << 16).view(np.float32))


def test_tensors_with_names_and_labels(tmp_path):
    path = tmp_path / "t.safetensors"
    X, y = np.zeros((2, 2), np.float32), np.array([1, 0])
    metadata = {"classes": '["no", "yes"]', "feature_names": '["a", "b"]'}
    path.write_bytes(
        safetensors_bytes({"X": X, "y": y, "extra": y}, {"X": "F32", "y": "I64", "extra": "I64"}, metadata)
    )
    data = load_dataset(path)
    assert data.y.tolist() == ["yes", "no"]
    assert data.feature_names == ("a", "b")
    assert data.notes == ("left out of t.safetensors: extra",)
    path.write_bytes(safetensors_bytes({"X": X}, {"X": "F32"}))
    (tmp_path / "l.txt").write_text("u\nv\n")
    assert load_dataset(path, labels_file=tmp_path / "l.txt").y.tolist() == ["u", "v"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xff" * 20, "invalid length"),
        (struct.pack("<Q", 2) + b"{}", "has no array of features"),
        (struct.pack("<Q", 3) + b"{x}", "damaged safetensors header"),
        (safetensors_bytes({"X": np.zeros((2, 2))}, {"X": "F64"})[:-1], "is truncated"),
        (safetensors_bytes({"X": np.zeros((2, 2))}, {"X": "F64"}) + b"12", "2 bytes after its last tensor"),
        (safetensors_bytes({"X": np.zeros((2, 2))}, {"X": "F32"}), "does not match its 32 bytes"),
        (safetensors_bytes({"X": np.zeros((2, 2))}, {"X": "F8_E4M3"}), "F8_E4M3"),
        (safetensors_bytes({"X": np.zeros((2, 2))}, {"X": "F64"}, {"classes": "{"}), None),
        (safetensors_bytes({"weight": np.zeros((2, 2))}, {"weight": "F64"}), "got weight (2, 2)"),
    ],
)
def test_tensors_refused(tmp_path, content, words):
    path = write(tmp_path / "t.safetensors", content)
    refused(["JSON list" if words is None else words], path)


def test_svmlight_as_scikit_learn_reads_it(tmp_path):
    from sklearn.datasets import load_svmlight_file

    rng = np.random.default_rng(0)
    X = np.where(rng.random((50, 7)) < 0.4, rng.normal(size=(50, 7)), 0.0)
    X[0] = 0.0
    text = "# made by hand\r\n" + svmlight_text(X, np.arange(50) % 3 - 1).replace("\n", "  # end\r\n", 5)
    zero = (":0.0", ":-0.0")
    lines = (" ".join(w for w in line.split(" ") if not w.endswith(zero)) for line in text.split("\n"))
    text = "\n".join(lines)
    path = write(tmp_path / "t.svm", text + "+1 qid:3 2:.5 7:1e-3\n\n   \n0 1:-1.")
    data = load_dataset(path)
    theirs, labels = load_svmlight_file(str(path))
    assert issparse(data.X)
    assert data.X.has_sorted_indices
    np.testing.assert_array_equal(data.X.toarray(), theirs.toarray())
    np.testing.assert_array_equal(data.y, labels)
    assert load_dataset(path, n_features=9).n_features == 9
    cut = load_dataset(path, n_features=3)
    assert cut.n_features == 3
    assert any("beyond the 3 of the training data" in note for note in cut.notes)


def test_svmlight_is_read_in_blocks_with_the_right_lines(tmp_path, monkeypatch):
    X, y = table(200, 6)
    path = write(tmp_path / "t.svm", svmlight_text(X, y))
    whole = load_dataset(path)
    monkeypatch.setattr("softmargin.data.svmlight.BLOCK_BYTES", 1000)
    blocks = list(stream_dataset(path, n_features=6))
    assert len(blocks) > 10
    np.testing.assert_array_equal(np.vstack([part.X.toarray() for part in blocks]), X)
    np.testing.assert_array_equal(load_dataset(path).X.toarray(), whole.X.toarray())
    lines = svmlight_text(X, y).split("\n")
    lines[150] += " 3:1"
    refused(["line 151", "index 3 twice"], write(tmp_path / "t.svm", "\n".join(lines)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 2:nan", "2:nan"),
        ("1 2:inf", "2:inf"),
        ("1 2:1e400", "outside the range"),
        ("1 0:1 3:2", "index 0"),
        ("1 3:1 2:1 3:4", "index 3 twice"),
        ("1 -1:1", "-1:1"),
        ("1 99999999999:1", "99999999999:1"),
        ("1 4294967297:1", "index 4294967297"),
        ("1 2", "entry 2"),
        ("1 2:", "2:"),
        ("1 a:1", "a:1"),
        ("1 2:1_0", "2:1_0"),
        ("1 2:0x10", "0x10"),
        ("word 2:1", "word"),
        ("1,2 2:1", "1,2"),
        ("0.5 2:1", "0.5"),
        ("nan 2:1", "nan"),
        ("1 2:1\0", "entry"),
    ],
)
def test_svmlight_refused(tmp_path, line, words):
    refused(["t.svm", words], write(tmp_path / "t.svm", f"1 1:1\n\n{line}\n"))


def test_sparse_matrices_of_scipy(tmp_path):
    X = np.where(np.random.default_rng(0).random((6, 5)) < 0.5, 2.5, 0.0).astype(np.float32)
    (tmp_path / "y.txt").write_text("a\nb\na\nb\na\nb\n")
    for make in (csr_array, csc_array):
        save_npz(tmp_path / "s.npz", make(X))
        data = load_dataset(tmp_path / "s.npz", labels_file=tmp_path / "y.txt")
        assert data.X.format == "csr"
        assert data.X.dtype == np.float32
        np.testing.assert_array_equal(data.X.toarray(), X)
        assert data.y.tolist() == list("ababab")
    assert len({data.fingerprint(), load_dataset(tmp_path / "s.npz").fingerprint()}) == 2
    good = csr_array(X)
    for name, change in (("indices", 99), ("indices", -1), ("indptr", 1000)):
        arrays = {"data": good.data, "indices": good.indices.copy(), "indptr": good.indptr.copy()}
        arrays[name][2] = change
        np.savez(tmp_path / "s.npz", format=b"csr", shape=(6, 5), **arrays)
        refused(["s.npz is not a valid CSR matrix"], tmp_path / "s.npz")
    # Without stored entries, SciPy does not check indptr, and then reads beyond the memory of the indices.
    arrays = {"data": np.empty(0), "indices": np.empty(0, np.int32), "indptr": np.array([0, 10**9, 0], np.int32)}
    np.savez(tmp_path / "s.npz", format=b"csr", shape=(2, 5), **arrays)
    refused(["s.npz is not a valid CSR matrix: inconsistent indptr"], tmp_path / "s.npz")


def test_sparse_features_are_fitted_and_told_on_the_command_line(tmp_path):
    from tests.support.command_line import run

    X, y = table(60, 5)
    path = write(tmp_path / "t.svm", svmlight_text(X, y))
    model = tmp_path / "m.safetensors"
    assert run("fit", path, "-o", model, "--loss", "hinge", "--reg", "0.1", "--tol", "1e-3").status == 0
    assert "60 samples, 5 features" in run("info", path).text
    short = write(tmp_path / "short.svm", "0 2:1\n")  # fewer features than the model: the others are 0
    assert run("predict", model, short).text.startswith("id,label\n0,")
    wide = write(tmp_path / "wide.svm", "0 6:1\n")
    answer = run("predict", model, wide)
    assert answer.text.startswith("id,label\n0,")
    assert "1 feature of wide.svm beyond the 5 of the training data is ignored (the first is 6)" in answer.err


# ---- pixels ----


def test_idx_and_gzip_agree(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    labels = np.array([3, 1, 4, 1, 5], np.uint8)
    for part, keep in (("train", slice(None)), ("t10k", slice(2))):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array[keep])))
    data = load_dataset(tmp_path)
    np.testing.assert_array_equal(data.X, pixels.reshape(5, -1))
    assert data.image_shape == (4, 3, 1)
    assert (data.y.tolist(), data.test.y.tolist()) == ([3, 1, 4, 1, 5], [3, 1])
    new = load_dataset(tmp_path, only_features=True)
    assert (new.y, new.test.y, new.test.n_samples) == (None, None, 2)
    assert new.notes == ("test set read from t10k-images-idx3-ubyte.gz",)
    path = tmp_path / "train-images-idx3-ubyte"
    good = idx_bytes(pixels)
    for content, words in (
        (good[:-1], "60 bytes of values by its header (shape (5, 4, 3)), got 59"),
        (good + b"x", "got 61"),
        (good[:9], "truncated in its header"),
        (b"\1" + good[1:], "not an IDX file"),
        (good[:4] + b"\xff" * 12, "bytes of values by its header"),
    ):
        refused([words], write(path, content))
        refused(
            ["by its header" if "got" in words else words],
            write(tmp_path / "packed-images-idx3-ubyte.gz", gzip.compress(content)),
        )
    refused(["damaged"], write(tmp_path / "packed-images-idx3-ubyte.gz", gzip.compress(good)[:-9]))
    refused(["not an IDX file"], write(tmp_path / "packed-images-idx3-ubyte.gz", gzip.compress(b"")))
    refused(["is empty (0 bytes)"], write(path, b""))


def test_cifar_in_the_order_of_images(world, tmp_path):
    data = load_dataset(world["cifar"].path)
    raw = world["cifar"].file.read_bytes()
    assert data.y.tolist() == list("abcd")
    image = data.X[2].reshape(data.image_shape)
    for row, column, channel in ((0, 0, 0), (5, 7, 1), (31, 30, 2)):
        assert image[row, column, channel] == raw[2 * 3073 + 1 + channel * 1024 + row * 32 + column]
    refused(["records of 3,073 bytes, got 3,072 bytes"], write(tmp_path / "data_batch_1.bin", raw[1:3073]))
    refused(
        ["record 0: labels must be less than 10, got 255"], write(tmp_path / "data_batch_1.bin", b"\xff" + raw[1:])
    )
    hundred = b"".join(bytes([9, k]) + raw[1:3073] for k in (7, 99))
    assert load_dataset(write(tmp_path / "train.bin", hundred)).y.tolist() == [7, 99]


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_never_loaded(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(Bomb()))
    refused(["data_batch_1", "pickle", "use the binary version"], tmp_path)
    for suffix in (".pkl", ".pt", ".joblib"):
        refused(["pickle", "never loaded"], write(tmp_path / f"m{suffix}", pickle.dumps(Bomb())))


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("prefix", ["", "top/", "a/b/"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_archive_is_its_folder(tmp_path, prefix, n_workers):
    rng = np.random.default_rng(0)
    names = [
        f"{part}/{label}/{k}.png" for part in ("train", "test") for label in ("cat", "dog") for k in range(70)
    ]
    files = {name: png(rng) for name in names} | {"train/.hidden/x.png": b"", "__MACOSX/train/cat/._0.png": b""}
    for name, content in files.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    archive = zipped(tmp_path / "t.zip", {prefix + name: content for name, content in files.items()})
    ours, theirs = load_dataset(archive, n_workers=n_workers), load_dataset(tmp_path / "folder")
    for one, other in ((ours, theirs), (ours.test, theirs.test)):
        np.testing.assert_array_equal(one.X, other.X)
        assert one.ids == other.ids
        assert one.y.tolist() == other.y.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "t.zip"]


def test_archives_refused(tmp_path):
    good = png(np.random.default_rng(0))
    path = tmp_path / "t.zip"
    refused(["is empty"], write(path, b""))
    refused(["not a zip archive"], write(path, b"PK\3\4 nothing"))
    refused(["has no images"], zipped(path, {"a.txt": b"x"}))
    refused(["NumPy arrays"], zipped(path, {"X.npy": b"x"}))
    nameless = zipped(path, {"QQ": good}).read_bytes().replace(b"QQ", b"\0\0")  # names end at a zero
    refused(["''", "plain relative paths"], write(path, nameless))
    for name in ("../a/1.png", "a/./1.png", "/a/1.png", "a//1.png"):
        refused([repr(name), "plain relative paths"], zipped(path, {name: good, "b/1.png": good}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the writer
        with zipfile.ZipFile(path, "w") as archive:
            for _ in range(2):
                archive.writestr("a/1.png", good)
    refused(["more than one entry 'a/1.png'"], path)
    refused(["b.png", "damaged"], zipped(path, {"c/a.png": good, "c/b.png": good[:40]}))
    refused(["b.png", "must have the same size"], zipped(path, {"c/a.png": good, "c/b.png": png_of(9, 9)}))
    bomb = zipped(path, {"c/a.png": bytes(300 << 20)}, compression=zipfile.ZIP_DEFLATED)
    refused(["a.png", "too many for an image"], bomb)
    content = bytearray(zipped(path, {"c/a.png": good}).read_bytes())
    content[len("c/a.png") + 30 + 50] ^= 1
    refused(["a.png", "damaged"], write(path, bytes(content)))


def test_an_archive_entry_that_is_not_an_image_is_not_unpacked(tmp_path):
    n = 40 << 20
    for content in (bytes(n), png_of(9, 7) + bytes(n)):
        path = zipped(tmp_path / "t.zip", {"c/a.png": content}, compression=zipfile.ZIP_DEFLATED)
        tracemalloc.start()
        try:
            refused(["a.png", f"unpacks to {len(content):,} bytes", "unpack it into a folder"], path)
            assert tracemalloc.get_traced_memory()[1] < n / 16
        finally:
            tracemalloc.stop()
    stream = io.BytesIO()
    Image.new("RGB", (2000, 2000), (1, 2, 3)).save(stream, "bmp")
    flat = zipped(tmp_path / "t.zip", {"c/a.bmp": stream.getvalue()}, compression=zipfile.ZIP_DEFLATED)
    assert flat.stat().st_size < len(stream.getvalue()) / 100
    assert np.array_equal(load_dataset(flat).X, np.tile(np.uint8([1, 2, 3]), (1, 4_000_000)))


@pytest.mark.parametrize("kind", ["tiff", "gif", "webp"])
def test_a_large_entry_may_hold_many_pictures(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("softmargin.data.images.guard.COMMON_FILE", 100)
    monkeypatch.setattr("softmargin.data.images.guard._SMALL_FILE", 100)
    noise = np.random.default_rng(0).integers(0, 256, (20, 9, 7, 3), dtype=np.uint8)
    noise[0] = 0
    first, *others = map(Image.fromarray, noise)
    stream = io.BytesIO()
    first.save(stream, kind, save_all=True, append_images=others)
    data = stream.getvalue()
    path = zipped(tmp_path / "t.zip", {f"c/a.{kind}": data, f"d/b.{kind}": data}, compression=zipfile.ZIP_DEFLATED)
    found = load_dataset(path, n_workers=1)
    assert found.X.shape == (2, 189)
    assert (found.X == 0).all()


def saved(kind, image=None, **options):
    stream = io.BytesIO()
    (image or Image.fromarray(np.arange(63, dtype=np.uint8).reshape(9, 7))).save(stream, kind, **options)
    return stream.getvalue()


def chunk(content=b""):
    body = b"prVt" + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def tiff(*tags, order="<", fill=b""):
    marks = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return marks + b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags) + bytes(4) + fill


def forged(name):
    """Return a megabyte, or a few, that keep Pillow busy for as many seconds."""
    png, gif, jpeg = saved("png"), saved("gif"), saved("jpeg")
    n = 1 << 18
    if name == "chunks before the pixels of a PNG":
        return png[:33] + chunk() * n + png[33:]
    if name == "chunks after the pixels of a PNG":
        return png[:-12] + chunk() * n + png[-12:]
    if name == "comments of a GIF":
        head = 13 + 3 * (2 << (gif[10] & 7))
        return gif[:head] + b"\x21\xfe\0" * n + gif[head:]
    if name == "fill of a JPEG":
        return b"\xff\xd8" + b"\xff" * n
    if name == "comments of a JPEG":
        return jpeg[:2] + b"\xff\xfe\0\2" * n + jpeg[2:]
    if name == "pixels of a QOI":
        return b"qoif" + struct.pack(">II", 9000, 9000) + b"\3\0" + bytes(4 * n)
    if name == "runs of a BMP":
        sizes = struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 256, 0)
        return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + sizes + bytes(1024) + b"\1\5" * 3 * n
    strips = ((256, 4, 1, 9), (257, 4, 1, 7), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 2 * n, 200))
    if name == "strips of a TIFF":
        return tiff(*strips, (278, 4, 1, 1), (279, 4, 2 * n, 200), fill=bytes(9 * n))
    if name == "strips of a TIFF, its directory cut off":
        whole = tiff(*strips, order=">", fill=bytes(8 * n))
        return whole[:8] + struct.pack(">H", 60_000) + whole[10:]
    if name == "strips of a TIFF, its version the wrong way round":
        return b"II\0*" + tiff(*strips, (278, 4, 1, 1), (279, 4, 2 * n, 200), fill=bytes(9 * n))[4:]
    if name == "numbers in a tag of a TIFF":
        return tiff(*strips[:5], (273, 4, 1, 200), (282, 5, n + 1, 200), fill=bytes(9 * n))
    if name == "tile of a TIFF":
        tile = ((322, 4, 1, 1 << 13), (323, 4, 1, 1 << 13), (324, 4, 1, 300), (325, 4, 1, 1 << 26))
        return tiff(*strips[:5], (277, 3, 1, 1), *tile, fill=bytes(n))
    if name == "tags of a TIFF that are all the same bytes":
        return tiff(*strips[:2], *((t, 1, 1 << 20, 0) for t in range(40_000, 41_000)), fill=bytes(1 << 20))
    assert name == "scans of a JPEG"
    with_scans = saved("jpeg", Image.new("L", (9400, 9400), 7), progressive=True)
    last = with_scans[with_scans.rindex(b"\xff\xda") : -2]
    return with_scans[:-2] + last * 20 + with_scans[-2:]


@pytest.mark.parametrize("stored", [False, True], ids=["packed", "as it is"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(
            (name, "more pieces than an image of its size")
            for name in (
                "chunks before the pixels of a PNG", "chunks after the pixels of a PNG", "comments of a GIF",
                "fill of a JPEG", "comments of a JPEG", "strips of a TIFF",
                "strips of a TIFF, its directory cut off",
                "strips of a TIFF, its version the wrong way round",
                "numbers in a tag of a TIFF",
            )
        ),
        ("pixels of a QOI", "more pieces than an image of its size"),
        ("runs of a BMP", "more pieces than an image of its size"),
        ("tags of a TIFF that are all the same bytes", "damaged"),
        ("tile of a TIFF", "larger tiles than an image of its size"),
        ("scans of a JPEG", "more scans than an image of its size"),
    ],
)  # fmt: skip
def test_files_forged_to_keep_the_decoder_busy(tmp_path, monkeypatch, name, words, stored):
    monkeypatch.setattr("softmargin.data.images.guard._MOST_SLOW_PIXELS", 500_000)
    data = forged(name)
    if stored and name in ("pixels of a QOI", "runs of a BMP"):
        pytest.skip("takes its time in proportion to the file")
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    path = zipped(tmp_path / "t.zip", {"c/a.png": data}, compression=method)
    tracemalloc.start()
    try:
        refused(["a.png", words], path)
        assert tracemalloc.get_traced_memory()[1] < 2 * path.stat().st_size + (64 << 20)
    finally:
        tracemalloc.stop()


def test_what_pillow_reads_pixel_by_pixel_is_read(tmp_path):
    """Twelve bits of grey, and runs: valid, and more pieces than a header may be in."""
    values = np.random.default_rng(0).integers(0, 4096, (400, 500))
    path = write(tmp_path / "a.pgm", b"P5 500 400 4095\n" + values.astype(">u2").tobytes())
    assert np.abs(load_dataset(path).X.reshape(400, 500) - values * (255 / 4095)).max() <= 1.0
    sizes = struct.pack("<IiiHHIIiiII", 40, 600, 600, 1, 8, 1, 0, 0, 0, 256, 0)
    palette = b"".join(bytes((k, k, k, 0)) for k in range(256))
    runs = (b"\1\5" * 600 + b"\0\0") * 600
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + sizes + palette + runs
    assert (
        load_dataset(zipped(tmp_path / "t.zip", {"c/a.bmp": data}, compression=zipfile.ZIP_DEFLATED)).X == 5
    ).all()


def png_of(height, width):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(stream, "png")
    return stream.getvalue()


def test_one_image_and_its_channels(tmp_path):
    path = write(tmp_path / "one.png", png(np.random.default_rng(0)))
    grey, colour = load_dataset(path), load_dataset(path, image_channels=3)
    assert (grey.image_shape, colour.image_shape) == ((6, 5, 1), (6, 5, 3))
    assert grey.ids == ("one.png",)
    assert grey.y is None
    np.testing.assert_array_equal(colour.X.reshape(-1, 3)[:, 1], grey.X[0])
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(path)
    refused(["one.png", "is in colour"], path, image_channels=1)
    refused(["image_channels"], path, ParameterError, image_channels=4)


# ---- public sets ----


def test_public_sets_have_the_documented_layout(monkeypatch):
    rng = np.random.default_rng(0)

    def fetch(name, **options):
        assert options["as_frame"] is False
        n = 60_002 if name == "mnist_784" else 4
        width = 784 if name == "mnist_784" else 3072
        return SimpleNamespace(data=rng.integers(0, 256, (n, width)).astype(np.float64), target=np.full(n, "7"))

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    mnist = load_dataset("mnist")
    assert (mnist.n_samples, mnist.test.n_samples, mnist.X.dtype, mnist.y[0]) == (60_000, 2, np.uint8, 7)
    cifar = load_dataset("cifar10")
    assert cifar.test is None
    assert "no test set" in cifar.notes[0]
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 256, (4, 3072))
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(
        load_dataset("cifar10").X.reshape(4, 32, 32, 3)[1, 2, 3], planes[1].reshape(3, 32, 32)[:, 2, 3]
    )


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("md5 checksum"), TimeoutError("slow")])
def test_a_failed_download_is_one_sentence(monkeypatch, error):
    def fail(*arguments, **options):
        warnings.warn("A network error occurred. Retrying...", UserWarning, stacklevel=1)
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    refused(["mnist", "OpenML", str(error), "connection"], "mnist")
    for data, target in (
        (np.zeros((2, 3)), ["1", "2"]),
        (np.full((2, 784), 0.5), ["1", "2"]),
        (np.zeros((2, 784)), "ab"),
    ):
        bunch = SimpleNamespace(data=data, target=np.array(list(target)))
        monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *a, bunch=bunch, **o: bunch)
        refused(["mnist must have", "from OpenML"], "mnist")
    assert set(openml.SETS) == {"mnist", "fashion-mnist", "cifar10"}


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_a_local_folder_takes_precedence_over_a_known_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / "a").mkdir(parents=True)
    write(tmp_path / name / "a" / "0.png", png(np.random.default_rng(0)))
    assert load_dataset(f"./{name}").n_samples == load_dataset(name).n_samples == 1
    assert load_dataset(Path(name)).n_samples == 1


# ---- damage ----


def test_a_short_fuzz_run_finds_nothing():
    assert fuzz_here(25, seed=1) == []
