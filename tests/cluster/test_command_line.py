"""Fits and predictions on a cluster from the command line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array, random_array, save_npz

import softmargin as sm
from tests.cluster.conftest import processes
from tests.support.command_line import run

HINGE = ("--loss", "hinge", "--reg", "0.01")


@pytest.fixture(scope="module")
def address():
    with processes() as (client, _, _):
        yield client.scheduler.address


def test_a_fit_and_its_predictions(folder, address, tmp_path):
    target = tmp_path / "m.safetensors"
    answer = run("fit", folder, *HINGE, "--cluster", address, "-o", target)
    assert answer.status == 0, answer
    assert "15,300 training samples in 3 files, 30 features (float32), 6 classes." in answer.text
    model = sm.load_model(target)
    data = sm.open_shards(folder)
    fit = sm.minimize(sm.Objective(sm.Hinge(), data, None, 0.01, engine="chunked"))
    assert model.W.tobytes() == fit.W.tobytes()
    assert model.converged
    assert model.n_samples == 15_300
    hits = 0
    answer = run("predict", target, folder, "--cluster", address, "-o", tmp_path / "out", "--margin")
    assert answer.status == 0, answer
    assert "3 files with 15,300 rows of id, label, margin." in answer.text
    for k in range(3):
        X, y = np.load(folder / f"part-{k}.npy"), np.load(folder / f"part-{k}_y.npy")
        lines = (tmp_path / "out" / f"part-{k}.csv").read_text().splitlines()
        assert lines[0] == "id,label,margin"
        labels = np.array([int(line.split(",")[1]) for line in lines[1:]])
        np.testing.assert_array_equal(labels, model.predict(X))
        hits += (labels == y).sum()
    record = run(
        "fit", folder, *HINGE, "--cluster", address, "--mixed", "-o", tmp_path / "n.safetensors", "--json"
    )
    assert "Note: workers may differ (--mixed), so the last bits of W are not reproducible." in record.err
    record = record.json
    assert record["accuracy"] == {"training": pytest.approx(hits / 15_300)}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"part-{k}.csv" for k in range(3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cluster", "local:1", "--groups", "g.npy"), "--groups is not supported with --cluster; prepare"),
        ((*HINGE, "--cluster", "nowhere"), "--cluster must be tcp://HOST:PORT or local:N, got 'nowhere'"),
        ((*HINGE, "--cluster", "local:0"), "--cluster must be tcp://HOST:PORT or local:N, got 'local:0'"),
        ((*HINGE, "--cluster", "local:1", "--limit", "9"), "--limit is not supported with --cluster; prepare"),
        (
            (*HINGE, "--cluster", "local:1", "--no-header"),
            "--header or --no-header is not supported with --cluster",
        ),
        ((*HINGE, "--cluster", "local:1", "--keep-counters"), "--keep-counters is not supported with --cluster"),
        ((*HINGE, "--cluster", "local:1", "--report", "r.html"), "--report is not supported with --cluster"),
    ],
)
def test_what_a_cluster_does_not_support_is_refused_before_it_is_started(folder, tmp_path, arguments, message):
    answer = run("fit", folder, *arguments, "-o", tmp_path / "m.safetensors")
    assert answer.status == 2
    assert message in answer.err


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two parquet files with columns of labels and weights, one of them of several row groups."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    for k, n in enumerate((700, 40)):
        y = rng.integers(0, 3, n)
        X = rng.normal(size=(n, 3)) + y[:, None]
        columns = {name: X[:, k] for k, name in enumerate("abc")} | {"species": y + 10, "w": rng.integers(0, 3, n)}
        pq.write_table(pa.table(columns), folder / f"{k}.parquet", row_group_size=150)
    return folder


def test_tables_with_weights_and_factors(tables, address, tmp_path):
    target, factors = tmp_path / "m.safetensors", tmp_path / "factors.json"
    factors.write_text('{"11": 2.5, "12": 0.5}')
    options = ("--label-column", "species", "--weights", "w", "--class-weight", factors, "--columns", "b,a")
    answer = run("fit", tables, *HINGE, "--cluster", address, "-o", target, *options)
    assert answer.status == 0, answer
    model = sm.load_model(target)
    data = sm.open_shards(tables, label_column="species", weights_column="w", columns=["b", "a"])
    fitted = sm.LinearClassifier("hinge", reg=0.01, class_weight={11: 2.5, 12: 0.5}).fit(data, None)
    assert model.W.tobytes() == np.ascontiguousarray(fitted.coef_.T).tobytes()
    assert (model.feature_names, model.label_column, model.weights_column) == (("b", "a"), "species", "w")
    answer = run("predict", target, tables, "--cluster", address, "-o", tmp_path / "out")
    assert answer.status == 0, answer
    for k in range(2):
        lines = (tmp_path / "out" / f"{k}.csv").read_text().splitlines()
        X = sm.load_dataset(tables / f"{k}.parquet", columns=["b", "a"]).X
        assert lines[1:] == [f"{row},{label}" for row, label in enumerate(model.predict(X))]
    answer = run("evaluate", target, tables, "--cluster", address)
    assert "the model was trained on these samples" in answer.err
    factors.write_text('{"ant": 2.5}')
    answer = run("fit", tables, *HINGE, "--cluster", address, "-o", tmp_path / "n.safetensors", *options)
    assert "factors.json must have labels of the data, which are integers, got 'ant'" in answer.err


def test_sparse_shards(address, tmp_path):
    rng = np.random.default_rng(0)
    for k, n in enumerate((300, 60)):
        X = csr_array(random_array((n, 40), density=0.1, rng=rng))
        save_npz(tmp_path / f"part-{k}.npz", X)
        np.save(tmp_path / f"part-{k}_y.npy", rng.integers(0, 3, n))
    target = tmp_path / "m.safetensors"
    answer = run("fit", tmp_path, *HINGE, "--cluster", address, "-o", target)
    assert answer.status == 0, answer
    model = sm.load_model(target)
    fit = sm.minimize(sm.Objective(sm.Hinge(), sm.open_shards(tmp_path), None, 0.01, engine="chunked"))
    assert model.W.tobytes() == fit.W.tobytes()
    answer = run("predict", target, tmp_path, "--cluster", address, "-o", tmp_path / "out")
    assert answer.status == 0, answer
    lines = (tmp_path / "out" / "part-1.csv").read_text().splitlines()
    assert lines[1:] == [f"{row},{label}" for row, label in enumerate(model.predict(X))]


def test_predictions_need_a_folder_and_the_features_of_the_model(folder, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", X=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    target = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "d.npz", *HINGE, "-o", target).status == 0
    answer = run("predict", target, folder, "--cluster", "local:1")
    assert "--cluster needs -o FOLDER" in answer.err
    answer = run("predict", target, folder, "--cluster", "local:1", "-o", tmp_path / "out")
    assert "must hold the 3 features of the model, got 30 per row" in answer.err
    assert not (tmp_path / "out").exists()
