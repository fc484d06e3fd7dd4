"""From a table of a few hundred texts and a tiny network to a model, a page and an ONNX file."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from tests.support.command_line import run
from tests.support.networks import text_network
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
    options = ("--text", "review", "--label-column", "opinion", "--features", "texts.onnx")
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
    data = sm.load_dataset("reviews.csv", text="review", label_column="opinion", features=model.extractor)
    session = onnxruntime.InferenceSession("head.onnx")
    labels, scores = session.run(["label", "scores"], {"X": data.X.astype(np.float32)})
    np.testing.assert_array_equal(labels, model.predict(data.X))
    np.testing.assert_allclose(scores, model.scores(data.X), atol=1e-12)
    refused = run("export", "m.safetensors", "-o", "all.onnx", "--with-backbone")
    assert refused.status == 2
    assert "texts.onnx" in refused.err
