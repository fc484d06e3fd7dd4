"""What ``predict`` takes from DATA: the test part, labelled or not, and the ids of its samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.test_layouts import make
from tests.support.command_line import SOFT, rows_of, run, run_refused
from tests.support.files import save_image
from tests.support.sources import HAS_ARROW

N, N_TEST = 30, 12
LABELS = np.arange(N + N_TEST) % 3
X = np.random.default_rng(2).normal(size=(N + N_TEST, 2)).round(3) + 9 * np.stack([LABELS, -LABELS], axis=1)


def table(path: Path, rows: slice, *, labelled: bool, first_id: int | None = None, name: str = "") -> None:
    """Write rows of X as a table, with ids in random order if requested."""
    numbers = X[rows]
    columns = [] if first_id is None else [(np.random.default_rng(first_id).permutation(len(numbers)) + first_id)]
    heads = ([] if first_id is None else [name]) + ["a", "b"] + ["label"] * labelled
    lines = [",".join(heads)]
    for k, row in enumerate(numbers):
        label = ["xyz"[LABELS[rows][k]]] if labelled else []
        lines.append(",".join([*(str(c[k]) for c in columns), *map(str, row), *label]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def folder_of_tables(root: Path) -> None:
    table(root / "train.csv", slice(N), labelled=True)
    table(root / "test.csv", slice(N, None), labelled=False)


def folder_of_parquet(root: Path) -> None:
    if not HAS_ARROW:
        pytest.skip("pyarrow is not installed")
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir()
    for name, rows in (("train", slice(N)), ("test", slice(N, None))):
        columns = {"a": X[rows, 0], "b": X[rows, 1]} | ({"label": LABELS[rows]} if name == "train" else {})
        pq.write_table(pa.table(columns), root / f"{name}.parquet")


def folder_of_arrays(root: Path) -> None:
    root.mkdir()
    np.save(root / "X_train.npy", X[:N])
    np.save(root / "y_train.npy", LABELS[:N])
    np.save(root / "X_test.npy", X[N:])


@pytest.mark.parametrize("make_folder", [folder_of_tables, folder_of_parquet, folder_of_arrays])
def test_an_unlabelled_test_part_is_predicted(tmp_path: Path, make_folder) -> None:
    root, model = tmp_path / "data", tmp_path / "m.safetensors"
    make_folder(root)
    assert run("fit", root, "-o", model, *SOFT).status == 0
    answer = run("predict", model, root)
    assert len(rows_of(answer)) == N_TEST
    assert f"using the test set of {root} ({N_TEST} samples)" in answer.err
    assert "can be given to predict" not in answer.err
    assert len(rows_of(run("predict", model, root, "--part", "test"))) == N_TEST
    assert len(rows_of(run("predict", model, root, "--part", "train"))) == N
    assert run("evaluate", model, root, "--json").json["n_samples"] == N


def test_an_unlabelled_array_of_a_file_is_predicted(tmp_path: Path) -> None:
    source, model = tmp_path / "d.npz", tmp_path / "m.safetensors"
    np.savez(source, X_train=X[:N], y_train=LABELS[:N], X_test=X[N:])
    assert run("fit", source, "-o", model, *SOFT).status == 0
    assert len(rows_of(run("predict", model, source))) == N_TEST
    assert len(rows_of(run("predict", model, source, "--part", "train"))) == N
    np.savez(source, X_train=X[:N], y_train=LABELS[:N])
    run_refused(tmp_path, "predict", model, source, "--part", "test", words=("has no test set",))


@pytest.mark.parametrize("test", ["test", "Testing/unknown", "test_images/a/b"])
def test_unlabelled_test_images_are_predicted(tmp_path: Path, test: str) -> None:
    root, model = tmp_path / "p", tmp_path / "m.safetensors"
    make(root, "train/bright", "train/dark")
    for k in range(3):
        save_image(root / test / f"n{k}.png", np.full((3, 3), 60, np.uint8))
    assert run("fit", root, "-o", model, *SOFT).status == 0
    answer = run("predict", model, root)
    assert [row[0] for row in rows_of(answer)] == [f"{test}/n{k}.png" for k in range(3)]
    assert "using the test set" in answer.err
    assert "left out" not in answer.err
    assert len(rows_of(run("predict", model, root, "--part", "train"))) == 4


def test_a_labelled_validation_part_does_not_replace_unlabelled_test_images(tmp_path: Path) -> None:
    root, model = tmp_path / "p", tmp_path / "m.safetensors"
    make(root, "train/bright", "train/dark", "val/bright", "val/dark")
    save_image(root / "test/n.png", np.full((3, 3), 60, np.uint8))
    assert run("fit", root, "-o", model, *SOFT).status == 0
    answer = run("predict", model, root)
    assert [row[0] for row in rows_of(answer)] == ["test/n.png"]
    assert "left out of p: val" in answer.err
    assert run("evaluate", model, root, "--json").json["n_samples"] == 4


@pytest.mark.parametrize("name", ["PassengerId", "Kunden-Nr", "order_id", "KundenNr.", "USER_ID"])
def test_a_left_out_identifier_is_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    root, model = tmp_path / "data", tmp_path / "m.safetensors"
    counts = name in ("Kunden-Nr", "KundenNr.")
    table(root / "train.csv", slice(N), labelled=True, first_id=100, name=name)
    table(root / "test.csv", slice(N, None), labelled=False, first_id=900, name=name)
    if counts:  # such a name is not enough to leave a column out; it must number the rows
        lines = (root / "train.csv").read_text().splitlines()
        rows = [f"{100 + k},{line.partition(',')[2]}" for k, line in enumerate(lines[1:])]
        (root / "train.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    fitted = run("fit", root, "-o", model, *SOFT)
    assert fitted.status == 0
    assert f"column '{name}' is used as the sample ids" in fitted.err
    expected = [line.split(",")[0] for line in (root / "test.csv").read_text().splitlines()[1:]]
    for source in (root, root / "test.csv"):  # as a whole, and in chunks
        assert [row[0] for row in rows_of(run("predict", model, source))] == expected
    if HAS_ARROW:
        import pyarrow.csv
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.csv.read_csv(root / "test.csv"), tmp_path / "new.parquet")
        assert [row[0] for row in rows_of(run("predict", model, tmp_path / "new.parquet"))] == expected
    out = tmp_path / "oof.csv"
    assert run("compare", root, "--out-of-fold", out, "--folds", "3", *SOFT).status == 0
    trained = [line.split(",")[0] for line in (root / "train.csv").read_text().splitlines()[1:]]
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == trained
    assert run("fit", root, "--group-by", ".$", "-o", tmp_path / "g.safetensors", "--loss", "hinge").status == 0


@pytest.mark.parametrize("name", ["customer_id", "StoreId", "site id"])
def test_a_repeated_identifier_is_a_feature_with_a_note(tmp_path: Path, name: str) -> None:
    path, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    rows = [f"{k % 4},{a},{b},{'xyz'[LABELS[k]]}" for k, (a, b) in enumerate(X.tolist())]
    path.write_text(f"{name},a,b,label\n" + "\n".join(rows) + "\n")
    fitted = run("fit", path, "-o", model, *SOFT)
    note = f"columns named like an identifier have repeated values and are features: '{name}' (name the features"
    assert note in fitted.err
    assert "--columns" in fitted.err
    assert note not in run("fit", path, "--columns", "a,b", "-o", tmp_path / "n.safetensors", *SOFT).err
    for used in (model, tmp_path / "n.safetensors"):  # repeated values identify nothing
        assert [row[0] for row in rows_of(run("predict", used, path))] == [str(k) for k in range(N + N_TEST)]
