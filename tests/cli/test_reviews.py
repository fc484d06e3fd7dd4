"""From a table of texts, or a folder of images, and a tiny network to a model, a page and an ONNX file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import softmargin as sm
from tests.support.command_line import run
from tests.support.extractors import save_pictures
from tests.support.networks import network, text_network
from tests.support.reviews import VERDICTS, save_reviews

SOFT = ("--loss", "cross_entropy", "--reg", "1e-3")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason=f"the package {package} (the extra backbone) is not installed")
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of_reviews() -> tuple[str, ...]:
    words = {word.strip(".,;:!{}") for verdicts in VERDICTS.values() for text in verdicts for word in text.split()}
    return tuple(sorted(words - {""}))


def test_reviews(folder):
    assert save_reviews(folder / "reviews.csv") == 300
    text_network(folder, words=words_of_reviews())
    options = ("--text", "review", "--label", "opinion", "--features", "texts.onnx")
    fitted = run("fit", "reviews.csv", *options, "-o", "m.safetensors", *SOFT, "--json", "--report", "r.html")
    assert fitted.status == 0, fitted.err
    assert fitted.json["metadata"]["text"] == "review"
    assert fitted.json["accuracy"]["training"] > 0.4  # three random numbers per word, averaged
    assert "I love this kettle" in (folder / "r.html").read_text()
    (folder / "new.csv").write_text("n,review\n1,Terrible lamp; I hate this lamp.\n2,Excellent desk!\n")
    predicted = run("predict", "m.safetensors", "new.csv", "--proba")
    assert predicted.status == 0, predicted.err
    assert len(predicted.text.splitlines()) == 3
    exported = run("export", "m.safetensors", "-o", "head.onnx")
    assert exported.status == 0, exported.err

    import onnxruntime

    model = sm.load_model("m.safetensors")
    data = sm.load_dataset("reviews.csv", text="review", label="opinion", features=model.extractor)
    session = onnxruntime.InferenceSession("head.onnx")
    labels, scores = session.run(["label", "scores"], {"X": data.X.astype(np.float32)})
    np.testing.assert_array_equal(labels, model.predict(data.X))
    np.testing.assert_allclose(scores, model.scores(data.X), atol=1e-12)
    refused = run("export", "m.safetensors", "-o", "all.onnx", "--with-backbone")
    assert refused.status == 2
    assert "texts.onnx" in refused.err


@pytest.fixture
def fitted(folder):
    save_pictures(folder / "p", 10)
    (folder / "nets").mkdir()
    network(folder / "nets")
    answer = run("fit", "p", "--features", "nets/tiny.onnx", "-o", "m.safetensors", *SOFT, "--json")
    assert answer.status == 0, answer.err
    return answer


def test_one_file_from_image_to_label(folder, fitted):
    import onnxruntime

    answer = run("export", "m.safetensors", "-o", "all.onnx", "--with-backbone")
    assert answer.status == 0, answer.err
    session = onnxruntime.InferenceSession("all.onnx")
    size = session.get_inputs()[0].shape[1:3]
    images = np.random.default_rng(0).integers(0, 256, (50, *size, 3), dtype=np.uint8)
    model = sm.load_model("m.safetensors")
    found = [session.run(["label", "scores"], {"images": image[None]}) for image in images]
    X = model.extractor.transform(list(images))
    np.testing.assert_array_equal([label[0] for label, _ in found], model.predict(X))
    np.testing.assert_allclose(np.concatenate([s for _, s in found]), model.scores(X), atol=1e-3)
    for name in ("all.npz", "all.safetensors"):
        assert run("export", "m.safetensors", "-o", name, "--with-backbone").status == 2
    assert run("fit", "digits", "-o", "d.safetensors", *SOFT).status == 0
    refused = run("export", "d.safetensors", "-o", "d.onnx", "--with-backbone")
    assert refused.status == 2
    assert "backbone" in refused.err


def test_a_model_that_moves_needs_its_backbone(folder, fitted):
    expected = run("predict", "m.safetensors", "p").out
    away = folder / "away"
    away.mkdir()
    shutil.copy("m.safetensors", away)
    (folder / "nets/tiny.onnx").rename(folder / "kept.onnx")
    missing = run("predict", away / "m.safetensors", "p")
    assert missing.status == 2
    assert "tiny.onnx" in missing.err
    assert "--features" in missing.err
    assert missing.err.count("\n") == 1
    assert run("predict", away / "m.safetensors", "p", "--features", "kept.onnx").out == expected
    shutil.copy("kept.onnx", away / "tiny.onnx")
    assert run("predict", away / "m.safetensors", "p").out == expected
    for command in ("evaluate", "report"):
        assert run(command, away / "m.safetensors", "p").status == 0
    changed = away / "tiny.onnx"
    content = bytearray(changed.read_bytes())
    content[-20] ^= 1
    changed.write_bytes(bytes(content))
    refused = run("predict", away / "m.safetensors", "p")
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert "tiny.onnx" in refused.err
