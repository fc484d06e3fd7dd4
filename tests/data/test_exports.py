"""Tables as other programs write them: Arrow types, indices of pandas, folders of parts, parts without labels."""

from __future__ import annotations

import decimal
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import softmargin as sm
from softmargin.data import load_dataset
from softmargin.data.labels import Unlabelled
from tests.data.test_data import refused
from tests.support.command_line import SOFT, run, run_refused

pa = pytest.importorskip("pyarrow", reason="pyarrow (the extra frames) is not installed")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

N = 24
LABELS = [("ash", "oak", "yew")[k % 3] for k in range(N)]


def numbers(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=(N, 2)) + 3.0 * (np.arange(N) % 3)[:, None], 2)


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


# ---- types ----


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(LABELS, pa.large_string()),
        pa.array(LABELS, pa.string_view()),
        pa.array(LABELS).dictionary_encode(),
        pa.array(LABELS, pa.large_string()).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([k % 3 for k in range(N)], pa.uint32()),
                                       pa.array(["ash", "oak", "yew"], pa.string_view())),
        pa.array([word.encode() for word in LABELS], pa.binary()),
        pa.array([word.encode() for word in LABELS], pa.large_binary()),
    ],
    ids=str,
)  # fmt: skip
def test_labels_of_every_type_of_text(tmp_path: Path, labels: Any) -> None:
    table = pa.table({"a": numbers()[:, 0], "label": labels})
    pyarrow.feather.write_feather(table, tmp_path / "t.feather")
    assert load_dataset(tmp_path / "t.feather").y.tolist() == LABELS
    if not str(labels.type).startswith("dictionary<values=string_view"):  # not in parquet
        pq.write_table(table, tmp_path / "t.parquet")
        assert load_dataset(tmp_path / "t.parquet").y.tolist() == LABELS


@pytest.mark.parametrize(
    "kind",
    [pa.decimal128(10, 2), pa.decimal256(50, 2), pa.decimal128(38, 2), pa.decimal32(7, 2), pa.decimal64(12, 2),
     pa.float16(), pa.float32()],
    ids=str,
)  # fmt: skip
def test_numbers_of_every_type(tmp_path: Path, kind: Any) -> None:
    X = np.round(numbers() * 4) / 4
    values = (
        [decimal.Decimal(f"{v:.2f}") for v in X[:, 0]] if "decimal" in str(kind) else X[:, 0].astype(np.float16)
    )
    table = pa.table({"price": pa.array(values, kind), "n": pa.array(range(N), pa.uint8()), "label": LABELS})
    table = table.set_column(1, "n", pa.array([3 * (k % 5) % 4 for k in range(N)], pa.uint8()))
    pyarrow.feather.write_feather(table, tmp_path / "t.feather")
    data = load_dataset(tmp_path / "t.feather")
    np.testing.assert_array_equal(data.X[:, 0], X[:, 0])
    assert data.feature_names == ("price", "n")


def test_decimal_labels_are_integers(tmp_path: Path) -> None:
    for digits in (0, 1):
        y = [decimal.Decimal(k % 3).scaleb(0) + decimal.Decimal(0).scaleb(-digits) for k in range(N)]
        path = written(tmp_path / "t.parquet", a=numbers()[:, 0], target=pa.array(y, pa.decimal128(20, digits)))
        assert load_dataset(path).y.tolist() == [k % 3 for k in range(N)]
    path = written(tmp_path / "t.parquet", a=numbers()[:, 0], target=pa.array([decimal.Decimal("0.5")] * N))
    refused(["labels must be integers or strings, got 0.5"], path)


def lists(kind: Any, X: np.ndarray) -> Any:
    return pa.array(X.tolist(), kind)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2), pa.list_view(pa.float32()),
     pa.large_list_view(pa.float32()), pa.list_(pa.decimal128(8, 2))],
    ids=str,
)  # fmt: skip
def test_lists_of_every_type(tmp_path: Path, kind: Any) -> None:
    X = np.round(numbers() * 4) / 4
    rows = X.tolist() if "decimal" not in str(kind) else [[decimal.Decimal(f"{v:.2f}") for v in row] for row in X]
    table = pa.table({"emb": pa.array(rows, kind), "label": LABELS})
    pyarrow.feather.write_feather(table, tmp_path / "t.feather")
    np.testing.assert_array_equal(load_dataset(tmp_path / "t.feather").X, X)


def test_nested_lists_are_rows_and_8_bit_ones_are_pictures(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (N, 4, 5), dtype=np.uint8)
    colour = np.random.default_rng(0).integers(0, 256, (N, 2, 4, 3), dtype=np.uint8)
    for array, kind, shape in (
        (grey, pa.list_(pa.list_(pa.uint8())), (4, 5, 1)),
        (grey, pa.list_(pa.list_(pa.uint8(), 5), 4), (4, 5, 1)),
        (colour, pa.list_(pa.list_(pa.list_(pa.uint8()))), (2, 4, 3)),
        (grey.astype(np.float32), pa.list_(pa.list_(pa.float32())), None),
        (colour.transpose(0, 3, 1, 2), pa.large_list(pa.list_(pa.list_(pa.uint8(), 4))), None),
    ):
        data = load_dataset(written(tmp_path / "t.parquet", image=lists(kind, array), label=LABELS))
        np.testing.assert_array_equal(data.X, array.reshape(N, -1))
        assert data.image_shape == shape
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(grey.astype(np.float32)))
    pyarrow.feather.write_feather(pa.table({"x": tensors, "label": LABELS}), tmp_path / "t.feather")
    np.testing.assert_array_equal(load_dataset(tmp_path / "t.feather").X, grey.reshape(N, -1))
    ragged = [[[1.0, 2.0], [3.0, 4.0]]] * (N - 1) + [[[1.0, 2.0], [3.0]]]
    refused(["row 23", "'x'", "got 1 numbers, but 2"], written(tmp_path / "r.parquet", x=ragged, label=LABELS))
    missing = [[[1.0, 2.0], [3.0, 4.0]]] * (N - 1) + [[[1.0, 2.0], [None, 3.0]]]
    refused(["row 23", "number 2 is missing"], written(tmp_path / "r.parquet", x=missing, label=LABELS))


def test_what_holds_no_numbers_is_left_out_by_name(tmp_path: Path) -> None:
    when = pa.array([1_600_000_000 + k for k in range(N)], pa.timestamp("s"))
    path = written(
        tmp_path / "t.parquet", a=numbers()[:, 0], b=numbers()[:, 1], nothing=pa.nulls(N), created_at=when,
        raw=[b"\xff"] * N, label=LABELS,
    )  # fmt: skip
    data = load_dataset(path)
    assert data.feature_names == ("a", "b")
    notes = " ".join(data.notes)
    assert all(name in notes for name in ("nothing", "created_at", "raw"))
    refused(["'created_at'", "must hold numbers, got type timestamp"], path, columns=["a", "created_at"])


# ---- the index of pandas ----


@pytest.mark.parametrize("kind", ["named", "unnamed", "text", "levels", "range", "dates"])
def test_the_index_of_pandas_is_never_a_feature(tmp_path: Path, kind: str) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(numbers(), columns=["a", "b"]).assign(label=LABELS)
    order = np.random.default_rng(3).permutation(N) * 7
    frame.index = {
        "named": pd.Index(order, name="customer"),
        "unnamed": pd.Index(order),
        "text": pd.Index([f"r{k}" for k in order], name="code"),
        "levels": pd.MultiIndex.from_arrays([order // 50, order], names=["shop", None]),
        "range": pd.RangeIndex(5, 5 + 2 * N, 2, name="row"),
        "dates": pd.date_range("2020-01-01", periods=N, name="day"),
    }[kind]
    frame.to_parquet(tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet")
    assert data.feature_names == ("a", "b")
    assert data.y.tolist() == LABELS
    if kind in ("named", "unnamed"):
        assert data.ids == tuple(map(str, order))
    if kind == "levels":
        assert data.ids[0] == f"{order[0] // 50}/{order[0]}"
    if kind == "named":
        assert load_dataset(tmp_path / "t.parquet", columns=["a", "customer"]).X[:, 1].tolist() == order.tolist()


def test_labels_in_the_index_of_pandas_are_found(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(numbers(), columns=["a", "b"])
    frame.set_index(pd.Index(LABELS, name="label")).to_parquet(tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet").y.tolist() == LABELS
    frame.set_index(pd.Index(LABELS, name="tree")).to_parquet(tmp_path / "u.parquet")
    assert load_dataset(tmp_path / "u.parquet", label_column="tree").y.tolist() == LABELS


# ---- exports of programs ----


def test_an_export_of_polars(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    frame = pl.DataFrame(
        {
            "width": pl.Series([decimal.Decimal(f"{v:.2f}") for v in numbers()[:, 0]], dtype=pl.Decimal(12, 2)),
            "height": pl.Series(numbers()[:, 1], dtype=pl.Float32),
            "species": pl.Series(LABELS, dtype=pl.Categorical),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.arrow")
    for name in ("t.parquet", "t.arrow"):
        data = load_dataset(tmp_path / name)
        assert data.y.tolist() == LABELS
        np.testing.assert_allclose(data.X, numbers(), rtol=1e-6)


def test_an_export_of_duckdb(tmp_path: Path) -> None:
    schema = pa.schema([
        pa.field("id", pa.int32(), nullable=False), pa.field("price", pa.decimal128(18, 3), nullable=False),
        pa.field("total", pa.float64(), nullable=False), pa.field("ok", pa.bool_(), nullable=False),
        pa.field("day", pa.date32()), pa.field("emb", pa.null()), pa.field("kind", pa.string()),
    ])  # fmt: skip
    prices = [decimal.Decimal(f"{v:.3f}") for v in numbers()[:, 0]]
    order = np.random.default_rng(0).permutation(N).tolist()
    columns = [order, prices, numbers()[:, 1], [k % 2 == 0 for k in range(N)], [None] * N, [None] * N, LABELS]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema=schema), tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet")
    assert data.feature_names == ("price", "total", "ok")
    assert data.ids == tuple(map(str, order))
    assert data.y.tolist() == LABELS


def test_a_dump_of_sql(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.parquet", customer_id=pa.array(np.random.default_rng(0).permutation(N) + 10_000),
        amount=pa.array([decimal.Decimal(f"{v:.2f}") for v in numbers()[:, 0]], pa.decimal128(38, 9)),
        visits=pa.array([k % 4 for k in range(N)], pa.int16()), churned=pa.array([k % 2 == 0 for k in range(N)]),
        since=pa.array([18_000 + k for k in range(N)], pa.date32()),
    )  # fmt: skip
    data = load_dataset(path, label_column="churned")
    assert data.feature_names == ("amount", "visits")
    assert data.y.tolist() == [(k + 1) % 2 for k in range(N)]
    nullable = written(
        tmp_path / "n.parquet", visits=pa.array([1, None] * (N // 2)), a=numbers()[:, 0], label=LABELS
    )
    refused(["row 1", "'visits'", "missing (null)"], nullable)


# ---- parts without labels ----


def saved_by_datasets(folder: Path, splits: dict[str, Any], names: list[str] | None = None) -> Path:
    """Write a folder as ``save_to_disk`` of `datasets` does."""
    for split, table in splits.items():
        (folder / split).mkdir(parents=True)
        path = str(folder / split / "data-00000-of-00001.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        label = {"_type": "Value"} if names is None else {"_type": "ClassLabel", "names": names}
        (folder / split / "state.json").write_text(json.dumps({"_data_files": [{"filename": Path(path).name}]}))
        (folder / split / "dataset_info.json").write_text(json.dumps({"features": {"label": label}}))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


@pytest.mark.parametrize("labels", ["minus one", "null", "no column", "all null"])
@pytest.mark.parametrize("with_names", [True, False])
def test_a_test_split_without_labels_is_left_out(tmp_path: Path, labels: str, with_names: bool) -> None:
    y = pa.array([k % 3 for k in range(N)])
    X = pa.array(numbers().tolist())
    train = pa.table({"emb": X, "label": y})
    test = {
        "minus one": lambda: pa.table({"emb": X, "label": pa.array([-1] * N)}),
        "null": lambda: pa.table({"emb": X, "label": pa.array([0] * (N - 1) + [None], pa.int64())}),
        "no column": lambda: pa.table({"emb": X}),
        "all null": lambda: pa.table({"emb": X, "label": pa.nulls(N)}),
    }[labels]()
    names = ["ash", "oak", "yew"] if with_names else None
    folder = saved_by_datasets(tmp_path / "d", {"training": train, "test": test}, names)
    data = load_dataset(folder)
    assert data.n_samples == N
    assert data.test is None
    assert any(note.startswith("left out of d: test (") and "predict" in note for note in data.notes)
    folder = saved_by_datasets(tmp_path / "v", {"train": train, "test": test, "dev": train}, names)
    assert load_dataset(folder).test.n_samples == N
    assert run("fit", folder, "-o", tmp_path / "m.safetensors", *SOFT).status == 0


def test_an_unlabelled_row_of_training_is_an_error(tmp_path: Path) -> None:
    y = [k % 3 for k in range(N)]
    y[7] = -1
    table = pa.table({"emb": numbers().tolist(), "label": y})
    folder = saved_by_datasets(tmp_path / "d", {"train": table}, ["ash", "oak", "yew"])
    refused(["row 7", "label -1", "3 class names"], folder, error=Unlabelled)
    path = written(tmp_path / "t.parquet", a=numbers()[:, 0], label=[*LABELS[:-1], None])
    refused(["row 23", "'label'", "missing (null)"], path, error=Unlabelled)


def test_a_test_part_of_arrays_without_labels_is_left_out(tmp_path: Path) -> None:
    y = np.arange(N) % 3
    np.savez(tmp_path / "n.npz", X_train=numbers(), y_train=y, X_test=numbers(), y_test=np.full(N, -1))
    data = load_dataset(tmp_path / "n.npz")
    assert (data.n_samples, data.test) == (N, None)
    assert data.notes == ("left out of n.npz: x_test (no labels: all are -1)",)


def test_counters_and_identifiers_in_parquet_are_no_features(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(N)
    for name, values in (
        ("Id", range(1, N + 1)),
        ("PassengerId", order),
        ("Unnamed: 0.1", range(N)),
        ("step", range(0, 5 * N, 5)),
    ):
        columns = {name: pa.array([int(v) for v in values]), "a": numbers()[:, 0], "label": LABELS}
        data = load_dataset(written(tmp_path / "t.parquet", **columns))
        assert data.feature_names == ("a",), name
    assert load_dataset(tmp_path / "t.parquet", keep_counters=True).feature_names == ("step", "a")


def test_damaged_pictures_of_a_table_are_left_out(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (3, 3), 7).save(stream, "png")
    files = [stream.getvalue() if k not in (2, 5) else b"nothing" for k in range(N)]
    for image in (pa.array(files, pa.binary()), pa.array([{"bytes": file, "path": "x.png"} for file in files])):
        path = written(tmp_path / "t.parquet", image=image, id=pa.array(range(N)), label=LABELS)
        refused(["row 2", "damaged", "--skip-damaged"], path)
        data = load_dataset(path, skip_damaged=True)
        assert data.X.shape == (N - 2, 9)
        assert data.y.tolist() == [word for k, word in enumerate(LABELS) if k not in (2, 5)]
        assert data.ids[:4] == ("0", "1", "3", "4")
        assert any(note.startswith("left out 2 damaged images of 24") for note in data.notes)


# ---- folders of tables ----


def csv_of(path: Path, rows: slice = slice(None), *, labels: bool = True, order: str = "ab") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    X = dict(zip("ab", numbers().T.tolist(), strict=True))
    head = [*order, *(["label"] if labels else [])]
    lines = [[f"{X[name][k]:.2f}" for name in order] + ([LABELS[k]] if labels else []) for k in range(N)]
    path.write_text("\n".join(",".join(line) for line in [head, *lines[rows]]) + "\n")
    return path


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.csv", "test.csv"),
        ("Training_set.csv", "Testing_set.csv"),
        ("train/part-0.csv", "test/part-0.csv"),
        ("split=train/0.csv", "split=test/0.csv"),
        ("data/train-00000-of-00001.csv", "data/test-00000-of-00001.csv"),
        ("all.csv", "test.csv"),
        ("train.csv", "valid.csv"),
    ],
)
def test_tables_of_a_folder_are_its_parts(tmp_path: Path, train: str, test: str) -> None:
    csv_of(tmp_path / "d" / train)
    csv_of(tmp_path / "d" / test, slice(0, 6), order="ba")
    (tmp_path / "d" / "README.md").write_text("about")
    data = load_dataset(tmp_path / "d")
    np.testing.assert_array_equal(data.X, numbers())
    np.testing.assert_array_equal(data.test.X, numbers()[:6])
    assert data.test.y.tolist() == LABELS[:6]
    assert data.name == "d"


def test_shards_of_a_folder_are_joined_in_natural_order(tmp_path: Path) -> None:
    for k in range(12):
        csv_of(tmp_path / "c" / f"part-{k}.csv", slice(2 * k, 2 * k + 2))
        (tmp_path / "p" / f"year={k // 6}").mkdir(parents=True, exist_ok=True)
        table = {"a": numbers()[2 * k : 2 * k + 2, 0], "label": LABELS[2 * k : 2 * k + 2]}
        written(tmp_path / "p" / f"year={k // 6}" / f"{k}.parquet", **table)
    np.testing.assert_array_equal(load_dataset(tmp_path / "c").X, numbers())
    np.testing.assert_array_equal(load_dataset(tmp_path / "p").X, numbers()[:, :1])
    assert any("12 shards of p joined" in note for note in load_dataset(tmp_path / "p").notes)


def test_a_test_table_without_labels_is_left_out(tmp_path: Path) -> None:
    for name, labels in (("none", False), ("empty", True)):
        folder = tmp_path / name
        csv_of(folder / "train.csv")
        path = csv_of(folder / "test.csv", labels=labels)
        if labels:
            text = path.read_text()
            for word in set(LABELS):
                text = text.replace(word, "")
            path.write_text(text)
        csv_of(folder / "gender_submission.csv")
        data = load_dataset(folder)
        assert (data.n_samples, data.test) == (N, None)
        assert any("test.csv (" in note and "gender_submission.csv" in note for note in data.notes), data.notes
    target = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "none", "-o", target, *SOFT).status == 0
    assert run("predict", target, tmp_path / "none" / "test.csv").status == 0


def test_folders_of_tables_that_are_refused(tmp_path: Path) -> None:
    csv_of(tmp_path / "a" / "features.csv")
    csv_of(tmp_path / "a" / "owners.csv", labels=False)
    refused(["2 tables with different columns", "features.csv, owners.csv"], tmp_path / "a")
    csv_of(tmp_path / "b" / "en" / "train.csv")
    csv_of(tmp_path / "b" / "fr" / "train.csv")
    refused(["tables in several folders (en, fr)", "give one of them"], tmp_path / "b")
    csv_of(tmp_path / "c" / "train.csv")
    written(tmp_path / "c" / "train.parquet", a=numbers()[:, 0], label=LABELS)
    refused(["several formats", "train.csv", "train.parquet"], tmp_path / "c")
    (tmp_path / "d" / "label=ash").mkdir(parents=True)
    written(tmp_path / "d" / "label=ash" / "0.parquet", a=numbers()[:, 0])
    refused(["must have its labels in a column", "label=ash"], tmp_path / "d")
    run_refused(tmp_path, "fit", tmp_path / "a", words=("different columns",))


# ---- labels of the test set that training lacks ----


def test_unknown_labels_of_the_test_set_are_said(tmp_path: Path) -> None:
    words = "Labels that are not classes of the model count as errors: 'Oak'"
    csv_of(tmp_path / "c" / "train.csv")
    path = csv_of(tmp_path / "c" / "test.csv")
    path.write_text(path.read_text().replace("oak", "Oak"))
    y = np.arange(N) % 3
    arrays = {"X_train": numbers(), "y_train": y, "X_test": numbers(), "y_test": np.where(y == 2, 9, y)}
    np.savez(tmp_path / "n.npz", **arrays)
    written_test = [word.replace("oak", "Oak") for word in LABELS]
    (tmp_path / "p").mkdir()
    written(tmp_path / "p" / "train.parquet", a=numbers()[:, 0], label=LABELS)
    written(tmp_path / "p" / "test.parquet", a=numbers()[:, 0], label=written_test)
    for source, said in (
        (tmp_path / "c", words),
        (tmp_path / "n.npz", words.replace("'Oak'", "9")),
        (tmp_path / "p", words),
    ):
        target = tmp_path / f"{source.name}.safetensors"
        answer = run("fit", source, "-o", target, *SOFT)
        assert said in answer.err, answer
        assert said in run("evaluate", target, source).text
        assert said in run("compare", source, "--loss", "cross_entropy", "--folds", "2").err
        page = run("report", target, source, "-o", tmp_path / f"{source.name}.html")
        assert said in page.text.replace("\n", " "), page.text
        assert "every sample is classified correctly" not in page.text


# ---- Arrow tables in memory ----


def test_arrow_tables_are_features(tmp_path: Path) -> None:
    X, y = numbers(), np.array(LABELS)
    table = pa.table({"a": X[:, 0], "b": X[:, 1]})
    plain = sm.LinearClassifier(reg=1e-2).fit(X, y)
    for features in (table, pa.concat_tables([table[:5], table[5:]]), table.to_batches()[0]):
        made = sm.LinearClassifier(reg=1e-2).fit(features, pa.array(LABELS))
        assert made.coef_.tobytes() == plain.coef_.tobytes()
        assert made.predict(features).tolist() == plain.predict(X).tolist()
    made = sm.LinearClassifier(reg=1e-2).fit(table, y)
    assert made.feature_names_in_.tolist() == ["a", "b"]
    refused_message = "must have the feature names of the fit, in the same order: expected 'a' in column 0"
    with pytest.raises(sm.errors.DataError, match=refused_message):
        made.predict(table.select(["b", "a"]))
    with pytest.raises(sm.errors.DataError, match="row 1, column 0"):
        made.predict(table.set_column(0, "a", pa.array([1.0, None] * (N // 2))))
    with pytest.raises(sm.errors.DataError, match="'x' in row 0, column 1"):
        made.predict(table.set_column(1, "b", pa.array(["x"] * N)))


# ---- sparse text with other features than training ----


def test_sparse_test_files_may_have_more_or_fewer_features(tmp_path: Path) -> None:
    def lines(last: int) -> str:
        rows = (
            f"{k % 3} {k % 3 + 1}:{2.0 + k / 10} 4:1" + (f" {last}:7" if last and k % 5 == 0 else "")
            for k in range(N)
        )
        return "\n".join(rows) + "\n"

    (tmp_path / "train.svm").write_text(lines(6))
    target = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "train.svm", "-o", target, *SOFT).status == 0
    (tmp_path / "fewer.svm").write_text(lines(0))
    (tmp_path / "more.svm").write_text(lines(9))
    (tmp_path / "far.svm").write_text(lines(40_000))
    same = run("predict", target, tmp_path / "fewer.svm")
    assert same.status == 0
    for name in ("more.svm", "far.svm"):
        answer = run("predict", target, tmp_path / name)
        assert answer.out == same.out
        assert answer.err.count("beyond the 6 of the training data is ignored") == 1
        assert "accuracy" in run("evaluate", target, tmp_path / name).text
