"""Backbones on the command line: from pictures or texts to a model, moved, changed, exported; hostile files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import softmargin as sm
from tests.support.command_line import SOFT, run, run_refused
from tests.support.extractors import save_pictures
from tests.support.networks import CONFIG, graph, network, text_network

onnx = pytest.importorskip("onnx", reason="the package onnx (the extra backbone) is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime (the extra backbone) is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def fitted(folder):
    save_pictures(folder / "p/train", 12)
    save_pictures(folder / "p/test", 5, seed=1)
    network(folder)
    answer = run("fit", "p", "--features", "tiny.onnx", "-o", "m.safetensors", *SOFT, "--json")
    assert answer.status == 0, answer.err
    return answer


def test_a_model_that_is_moved_needs_its_backbone(fitted, folder, tmp_path):
    before = run("predict", "m.safetensors", "p").out
    assert fitted.json["accuracy"]["test"] == 1.0
    new = tmp_path / "new"
    new.mkdir()
    shutil.move("m.safetensors", new / "m.safetensors")
    shutil.move("tiny.onnx", "elsewhere.onnx")
    digest = sm.load_model(new / "m.safetensors").extractor.content()
    needs = f"The model needs the backbone tiny.onnx (SHA-256 {digest[:12]}…); put it beside the model"
    run_refused(folder, "predict", new / "m.safetensors", "p", words=(needs,))
    assert run("info", new / "m.safetensors").status == 0, "what needs no features works without the backbone"
    assert run("predict", new / "m.safetensors", "p", "--features", "elsewhere.onnx").out == before
    shutil.copy("elsewhere.onnx", new / "tiny.onnx")
    assert run("predict", new / "m.safetensors", "p").out == before
    changed = network(folder, "changed.onnx", bias=np.ones(5, np.float32))
    shutil.copy(changed, new / "tiny.onnx")
    for arguments in ((), ("--features", changed)):
        words = ("must be the file with which the model was made", digest[:12])
        run_refused(folder, "predict", new / "m.safetensors", "p", *arguments, words=words)


def test_one_file_from_pictures_to_labels(fitted, folder):
    answer = run("export", "m.safetensors", "--with-backbone", "-o", "all.onnx")
    assert answer.status == 0, answer.err
    test = sm.load_dataset("p/test", image_size=(6, 8))
    model = sm.load_model("m.safetensors")
    X = model.extractor.transform([row.reshape(6, 8, 3) for row in test.X])
    images = test.X.reshape(-1, 6, 8, 3)
    label, scores, _ = onnxruntime.InferenceSession("all.onnx").run(None, {"images": images})
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(scores, model.scores(X), rtol=0, atol=1e-12)
    given = ("m.safetensors", "--with-backbone", "-o", "all.npz")
    run_refused(folder, "export", *given, words=("FILE must end in .onnx",))
    run("fit", "digits", "-o", "d.safetensors", *SOFT)
    needs = "with_backbone needs a model of a backbone"
    run_refused(folder, "export", "d.safetensors", "--with-backbone", "-o", "d.onnx", words=(needs,))


def test_texts(folder):
    pytest.importorskip("tokenizers", reason="the package tokenizers (the extra backbone) is not installed")
    text_network(folder)
    rng = np.random.default_rng(0)
    lines = [
        f"{' '.join(rng.choice([word, 'the'], 6))} {word},{word}" for word in ("good", "bad") for _ in range(20)
    ]
    (folder / "reviews.csv").write_text("review,label\n" + "\n".join(lines) + "\n")
    given = ("--text", "review", "--features", "texts.onnx")
    answer = run("fit", "reviews.csv", *given, "-o", "t.safetensors", *SOFT)
    assert answer.status == 0, answer.err
    (folder / "new.csv").write_text("review\nthe good\nbad bad\n")
    predicted = run("predict", "t.safetensors", "new.csv")
    assert [line.rpartition(",")[2] for line in predicted.text.splitlines()[1:]] == ["good", "bad"]
    assert run("export", "t.safetensors", "-o", "head.onnx").status == 0
    (folder / "tokenizer.json").unlink()
    run_refused(folder, "predict", "t.safetensors", "new.csv", words=("needs the file 'tokenizer.json'",))


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def changed(change):
    def write(path):
        model = graph()
        change(model)
        path.write_bytes(model.SerializeToString())

    return write


@changed
def custom(model):
    model.graph.node[3].domain = "evil.example"


@changed
def outside(model):
    weights = model.graph.initializer[0]
    weights.data_location = 1
    weights.external_data.add(key="location", value="../../secret.bin")


@changed
def misfit(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 3, -1, 32]), "blocks"))
    model.graph.node.insert(2, onnx.helper.make_node("Reshape", ["first", "blocks"], ["columns"]))
    next(one for one in model.graph.node if one.op_type == "Conv").input[0] = "columns"


def nan(path):
    path.write_bytes(graph(bias=np.full(5, np.nan, np.float32)).SerializeToString())


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (cut, "must be an ONNX file, got a damaged or another file"),
        (custom, "got the custom operator evil.example.Relu"),
        (outside, "must have its external data in its own folder, got '../../secret.bin'"),
        (misfit, "cannot compute an input of shape [1, 3, 6, 8]"),
        (nan, "must have finite features, got nan; check the extractor tiny.onnx"),
    ],
)
def test_hostile_files(folder, write, words):
    save_pictures(folder / "p", 3)
    write(network(folder))
    run_refused(folder, "fit", "p", "--features", "tiny.onnx", "-o", "m.safetensors", words=(words,))


def test_options(folder):
    save_pictures(folder / "p", 3)
    network(folder, output="maps")
    run_refused(folder, "fit", "p", "--features", "tiny.onnx", "--pool", "cls", words=("pool must be 'mean'",))
    run_refused(folder, "fit", "p", "--features", "none.onnx", words=("none.onnx must be an ONNX file",))
    run_refused(folder, "fit", "p", "--features", "hog", "--pool", "mean", words=("pool does not apply",))
    given = ("--features", "tiny.onnx", "--pool", "mean", "--image-size", "4x4")
    answer = run("fit", "p", *given, "-o", "m.safetensors", *SOFT)
    assert answer.status == 0, answer.err
    settings = sm.load_model("m.safetensors").extractor.record()["settings"]
    assert (settings["pool"], settings["image_size"], settings["resize"]) == ("mean", [4, 4], [4, 4])
    assert settings["mean"] == CONFIG["image_mean"]


def test_no_output_replaces_a_file_of_the_backbone(fitted, folder):
    text_network(folder)
    (folder / "r.csv").write_text("review,label\ngood,1\nbad,0\n")
    for arguments in (
        ("export", "m.safetensors", "-o", "tiny.onnx"),
        ("compare", "p", "--features", "tiny.onnx", "-o", "preprocessor_config.json"),
        ("fit", "p", "--features", "tiny.onnx", "--checkpoint", "preprocessor_config.json", *SOFT),
        ("fit", "r.csv", "--features", "texts.onnx", "--checkpoint", "tokenizer.json", *SOFT),
    ):
        run_refused(folder, *arguments, words=("input",))
