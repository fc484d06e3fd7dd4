"""Features and evaluations on a cluster from the command line."""

from __future__ import annotations

import json
import shutil
import threading
import time

import numpy as np
import pytest

import softmargin as sm
from softmargin.features.shards import stored_extractor
from softmargin.io.safetensors import read_header
from softmargin.stopping import Unwanted, check_wanted
from tests.cluster.conftest import cluster
from tests.support.command_line import run
from tests.support.extractors import register, save_pictures
from tests.support.networks import network

FIT = ("--loss", "cross_entropy", "--reg", "0.01")
SIZES = (11, 1, 23)


@pytest.fixture(scope="module")
def address():
    with cluster(2, processes=False, protocol="tcp") as client:
        yield client.scheduler.address


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    register(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    for k, n in enumerate(SIZES):
        y = np.array(["dark", "light"])[(np.arange(n) + k) % 2]
        pixels = rng.integers(0, 100, (n, 6, 8, 3)) + 100 * (y == "light")[:, None, None, None]
        np.save(tmp_path / f"raw/s{k}.npy", pixels.astype(np.uint8))
        np.save(tmp_path / f"raw/s{k}_y.npy", y)


def whole(spec):
    """Return the features of all shards on one machine."""
    answer = run("embed", "raw", "--features", spec, "-o", "whole.safetensors")
    assert answer.status == 0, answer.err
    return sm.load_dataset("whole.safetensors")


def embedded(spec, where, *more):
    answer = run("embed", "raw", "--features", spec, "--cluster", where, "-o", "out", *more)
    assert answer.status == 0, answer.err
    return answer


@pytest.mark.parametrize("spec", ["hog", "tiny.onnx"])
def test_features_of_shards_are_those_of_one_machine(spec, address, tmp_path):
    if spec.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
        network(tmp_path)
    record = embedded(spec, address, "--json").json
    assert (record["n_samples"], record["n_shards"], record["n_computed"]) == (35, 3, 3)
    wanted, found = whole(spec), sm.load_dataset("out")
    assert found.X.dtype == wanted.X.dtype == np.float16
    assert found.X.tobytes() == wanted.X.tobytes()
    np.testing.assert_array_equal(found.y, wanted.y)
    np.testing.assert_array_equal(found.keys, wanted.keys)
    assert found.stored.record == stored_extractor("out").record() == record["extractor"]
    if spec == "hog":  # else the paths differ
        assert found.stored.record == wanted.stored.record


def test_a_second_run_computes_only_what_has_changed(address, tmp_path):
    embedded("hog", address)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    answer = embedded("hog", address)
    assert "35 samples in 3 files (3 were there already)" in answer.text
    (tmp_path / "out/s1.keys.safetensors").unlink()  # as if the worker had been killed
    np.save("raw/s2.npy", np.load("raw/s2.npy")[::-1])
    assert "1 were there already" in embedded("hog", address).text
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert after.keys() == before.keys()
    computed = {f"s{k}{end}" for k in (1, 2) for end in (".npy", "_y.npy", ".keys.safetensors")}
    assert {name for name in after if after[name] != before[name]} == computed | {"extractor.safetensors"}
    assert sm.load_dataset("out").X.tobytes() == whole("hog").X.tobytes()


def test_one_large_number_makes_all_shards_float32(address, monkeypatch):
    np.save("raw/s1.npy", np.full((1, 6, 8, 3), 255, np.uint8))
    from tests.support.extractors import Means

    monkeypatch.setattr(Means, "compute", lambda self, item: 400 * np.asarray(item, float).mean(axis=1).ravel())
    embedded("means", address)
    data = sm.open_shards("out")
    assert data.dtype == np.float32
    assert sm.load_dataset("out").X.tobytes() == whole("means").X.tobytes()


def test_tables_of_texts_are_shards(address, tmp_path):
    (tmp_path / "t").mkdir()
    texts = ["abba", "b", "aaa", "banana", "", "ab"]
    for k in range(2):
        rows = [f"{text}!,{'short' if len(text) < 3 else 'long'}" for text in texts[3 * k : 3 * k + 3]]
        (tmp_path / f"t/p{k}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    answer = run("embed", "t", "--features", "lengths", "--cluster", address, "-o", "out")
    assert answer.status == 0, answer.err
    assert run("embed", "t", "--features", "lengths", "-o", "whole.safetensors").status == 0
    wanted, found = sm.load_dataset("whole.safetensors"), sm.load_dataset("out")
    assert found.X.tobytes() == wanted.X.tobytes()
    assert found.y.tolist() == wanted.y.tolist()
    np.testing.assert_array_equal(found.keys, wanted.keys)


def test_archives_of_pictures_are_shards(address, tmp_path):
    for k in range(2):
        save_pictures(tmp_path / f"p{k}", 3 + k, seed=k)
        shutil.make_archive(f"z/p{k}", "zip", tmp_path / f"p{k}")
    answer = run("embed", "z", "--features", "hog", "--image-size", "16x16", "--cluster", address, "-o", "out")
    assert answer.status == 0, answer.err
    found, extractor = sm.load_dataset("out"), stored_extractor("out")
    wanted = [sm.load_dataset(f"z/p{k}.zip", features=extractor) for k in range(2)]
    assert found.X.tobytes() == b"".join(part.X.tobytes() for part in wanted)
    assert found.y.tolist() == [label for part in wanted for label in part.y.tolist()]


def test_a_model_of_a_folder_of_features_knows_its_extractor(address, tmp_path):
    embedded("hog", address)
    assert run("fit", "out", *FIT, "--cluster", address, "-o", "m.safetensors").status == 0
    model = sm.load_model("m.safetensors")
    assert model.extractor.record() == stored_extractor("out").record()
    assert run("fit", "out", *FIT, "-o", "n.safetensors").status == 0
    other = sm.load_model("n.safetensors")
    assert other.extractor.record() == model.extractor.record()
    assert other.preprocessing.scaling == model.preprocessing.scaling == "standard"
    answer = run("evaluate", "m.safetensors", "out", "--cluster", address, "--json")
    assert answer.status == 0, answer.err
    assert "the model was trained on these samples" in answer.err
    wanted = run("evaluate", "m.safetensors", "raw", "--json").json
    assert answer.json["log_loss"] == pytest.approx(wanted["log_loss"], rel=1e-12)
    assert answer.json["confusion"] == wanted["confusion"]
    answer = run("predict", "m.safetensors", "out", "--cluster", address, "-o", "csv", "--proba")
    assert answer.status == 0, answer.err
    lines = [line for k in range(3) for line in (tmp_path / f"csv/s{k}.csv").read_text().splitlines()[1:]]
    labels = [line.split(",")[1] for line in lines]
    assert labels == model.predict(sm.load_dataset("out").X).tolist()
    numbers = np.array([line.split(",")[2:] for line in lines], float)
    np.testing.assert_array_equal(numbers, model.predict_proba(sm.load_dataset("out").X))
    (tmp_path / "out/s1.keys.safetensors").unlink()
    answer = run("fit", "out", *FIT, "--cluster", address, "-o", "o.safetensors")
    assert "out must hold 3 shards, but 1 are missing, such as s1.npy" in answer.err
    answer = run("predict", "m.safetensors", "raw", "--cluster", address, "-o", "csv")
    assert "got 144 per row; compute them with softmargin embed --cluster" in answer.err


def test_an_evaluation_is_that_of_one_machine(address, tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "d").mkdir()
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 7, 300)
    X[:, :3] += 2.0 * np.eye(7, 3)[y]
    for k, rows in enumerate(np.array_split(np.arange(300), 4)):
        np.save(f"d/p{k}.npy", X[rows])
        np.save(f"d/p{k}_y.npy", y[rows])
    np.savez("d.npz", X=X[:200], y=np.minimum(y[:200], 5))  # label 6 is unknown
    assert run("fit", "d.npz", *FIT, "-o", "m.safetensors").status == 0
    np.savez("all.npz", X=X, y=y)
    options = ("--top-k", "2", "--fail-under", "0.99", "--json")
    found = run("evaluate", "m.safetensors", "d", "--cluster", address, *options)
    wanted = run("evaluate", "m.safetensors", "all.npz", *options)
    assert found.status == wanted.status == 1
    assert found.err == wanted.err
    assert found.json["undefined"] == {"auroc": found.json["undefined"]["auroc"]}
    assert found.json["unknown_labels"] == [6]
    for name, value in wanted.json.items():
        if name == "intervals":
            assert found.json[name] == {k: pytest.approx(v, rel=1e-12) for k, v in value.items() if k != "auroc"}
        elif isinstance(value, float) and name != "auroc":
            assert found.json[name] == pytest.approx(value, rel=1e-12), name
        elif name not in ("auroc", "undefined"):
            assert found.json[name] == value, name
    text = run("evaluate", "m.safetensors", "d", "--cluster", address).text
    assert "Not defined: AUROC (AUROC needs the scores of all samples in one place" in text


def test_the_test_shards_are_used_if_there_are_any(address, tmp_path):
    (tmp_path / "d").mkdir()
    rng = np.random.default_rng(2)
    for name, n in (("train-0", 60), ("train-1", 50), ("test-0", 40)):
        y = rng.integers(0, 3, n)
        np.save(f"d/{name}.npy", rng.normal(size=(n, 3)) + np.eye(3)[y])
        np.save(f"d/{name}_y.npy", y)
    assert run("fit", "d", *FIT, "-o", "m.safetensors").status == 0
    for part, sizes in (("auto", 40), ("test", 40), ("train", 110)):
        found = run("evaluate", "m.safetensors", "d", "--cluster", address, "--part", part, "--json")
        wanted = run("evaluate", "m.safetensors", "d", "--part", part, "--json")
        assert found.status == 0, found.err
        assert found.json["n_samples"] == wanted.json["n_samples"] == sizes
        assert found.json["confusion"] == wanted.json["confusion"]
        assert ("using the test shards of d" in found.err) == (part == "auto")
    model = sm.load_model("m.safetensors")
    assert sm.evaluate(model, sm.open_shards("d", part="test"), None).n_samples == 40
    assert run("predict", "m.safetensors", "d", "--cluster", address, "-o", "csv").status == 0
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["test-0.csv"]
    answer = run("evaluate", "m.safetensors", "raw", "--cluster", address, "--part", "test")
    assert "raw must hold test shards of one format" in answer.err


def test_dask_arrays_are_evaluated_where_they_are(address):
    arrays = pytest.importorskip("dask.array")
    from distributed import Client

    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(90, 4)), np.arange(90) % 3
    X[:, :3] += np.eye(3)[y]
    model = sm.LinearClassifier("hinge", reg=0.1).fit(X, y)
    blocks = arrays.from_array(X, chunks=(40, 4)), arrays.from_array(y, chunks=40)
    with Client(address):
        found = sm.evaluate(model, *blocks, engine="dask")
    wanted = sm.evaluate(model, X, y)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
        assert getattr(found, name) == getattr(wanted, name)
    assert found.record()["confusion"] == wanted.record()["confusion"]


REFUSED = {
    "learns": (("embed", "raw", "--features", "kmeans:4", "-o", "out"), "learns from all samples"),
    "same folder": (("embed", "raw", "--features", "hog", "-o", "raw"), "raw must be another folder than that"),
    "options": (
        ("embed", "raw", "--features", "hog", "-o", "out", "--text", "a"),
        "text is not an option",
    ),
    "other": (("embed", "raw", "--features", "hog", "-o", "other"), "other holds x.npy, which is not one of"),
    "groups": (("evaluate", "m", "raw", "--metric-groups", "g"), "--metric-groups is not supported"),
    "no file": (("embed", "raw", "--features", "none.onnx", "-o", "out"), "none.onnx must be an ONNX file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_cluster_does_not_support_is_refused_before_it_is_started(name, tmp_path):
    (tmp_path / "other").mkdir()
    np.save("other/x.npy", np.zeros(3))
    arguments, message = REFUSED[name]
    answer = run(*arguments, "--cluster", "local:1")
    assert answer.status == 2
    assert message in answer.err
    assert not (tmp_path / "out").exists()


def test_features_of_another_extractor_are_not_mixed(address):
    embedded("hog", address)
    answer = run("embed", "raw", "--features", "means", "--cluster", address, "-o", "out")
    assert "out holds features of hog; choose another folder" in answer.err


def test_a_worker_with_another_network_is_named(address, tmp_path, monkeypatch):
    """The file changes between the start of the command and its check on the workers."""
    pytest.importorskip("onnxruntime")
    from softmargin.features import shards

    network(tmp_path)
    state, other = shards.state_of, [{"SHA-256": "0" * 64}]
    monkeypatch.setattr(shards, "state_of", lambda one: state(one) | (other.pop() if other else {}))
    answer = run("embed", "raw", "--features", "tiny.onnx", "--cluster", address, "-o", "out")
    assert answer.status == 2
    assert "The worker tcp://" in answer.err
    assert f"tiny.onnx: its SHA-256 must be {'0' * 64}, got " in answer.err
    with open("out/extractor.safetensors", "rb") as stream:
        assert json.loads(read_header(stream, "x").metadata["shards"]) == ["s0", "s1", "s2"]


_EVENTS: dict[str, threading.Event] = {name: threading.Event() for name in ("begun", "ended")}


def endless(k):
    """Return 0 at once for k = 0, else nothing until the task is not wanted."""
    if k == 0:
        return 0
    _EVENTS["begun"].set()
    try:
        while True:
            check_wanted()
            time.sleep(0.01)
    except Unwanted:
        _EVENTS["ended"].set()
        raise


def test_tasks_end_when_nothing_waits_for_them(address):
    from distributed import Client

    with Client(address) as client:
        from softmargin.engines.dask import OnDask

        results = OnDask(client).each(endless, [0, 1, 2])
        assert next(results) == 0
        assert _EVENTS["begun"].wait(10)
        assert not _EVENTS["ended"].is_set()
        results.close()
        assert _EVENTS["ended"].wait(10)
