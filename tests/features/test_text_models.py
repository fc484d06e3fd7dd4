"""Networks for texts: an ONNX file with its tokenizer, and sentence-transformers; tiny models against NumPy."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError, SoftmarginError
from softmargin.features import SentenceEncoder, TextBackbone, from_record, make_extractor
from softmargin.features.given import as_inputs
from tests.support.networks import network, text_network, vectors

TEXTS = ["good", "bad bad good", "unknown words", "good " * 50, "", "bad \ud800"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


# ---- an ONNX file ----


@pytest.fixture
def runtime():
    for package in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason=f"the package {package} (the extra backbone) is not installed")


def tokens(text, most=512):
    numbers = {"good": 2, "bad": 3}
    return vectors(4)[[numbers.get(word, 1) for word in text.split()][:most] or [0]].astype(np.float64)


def close(X, wanted):
    assert X.dtype == np.float16
    # one rounding to float16
    np.testing.assert_allclose(X, np.stack(wanted), rtol=2**-10, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch": 3},
        {"kind": 6},
        {"inputs": ("input_ids",)},
        {"inputs": ("input_ids", "attention_mask", "token_type_ids", "position_ids")},
        {"output": "last_hidden_state pooler_output"},
    ],
)
def test_mean_over_the_tokens(runtime, tmp_path, settings):
    made = make_extractor(str(text_network(tmp_path, **settings)))
    assert (made.name, made.takes) == ("text_backbone", "texts")
    close(made.transform(TEXTS), [tokens(text).mean(axis=0) for text in TEXTS])


def test_declared_inputs_that_are_not_used(runtime, tmp_path):
    import onnx

    path = text_network(tmp_path, inputs=("input_ids",))
    model = onnx.load(path)
    for name in ("attention_mask", "token_type_ids"):
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, 7, ["n", "l"]))
    onnx.save(model, path)
    close(TextBackbone(path).transform(TEXTS), [tokens(text).mean(axis=0) for text in TEXTS])


def test_a_fixed_length_is_padded_and_padding_is_ignored(runtime, tmp_path):
    path = text_network(tmp_path, length=4)
    for pool in ("mean", "max"):
        X = TextBackbone(path, pool=pool).transform(TEXTS)
        close(X, [getattr(tokens(text, 4), pool)(axis=0) for text in TEXTS])
    close(TextBackbone(path, pool="cls").transform(TEXTS), [tokens(text)[0] for text in TEXTS])
    assert TextBackbone(path).record()["settings"]["max_tokens"] == 4


def test_truncation(runtime, tmp_path):
    path = text_network(tmp_path, config={"model_max_length": 2})
    close(TextBackbone(path).transform(TEXTS), [tokens(text, 2).mean(axis=0) for text in TEXTS])
    close(TextBackbone(path, max_tokens=1).transform(TEXTS), [tokens(text, 1)[0] for text in TEXTS])
    for length in (int(1e30), -1, "many", None):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": length}))
        assert TextBackbone(path).record()["settings"]["max_tokens"] == 512
    (tmp_path / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"tokenizer_config\.json must hold an object of JSON"):
        TextBackbone(path).prepare()
    with pytest.raises(ParameterError, match="max_tokens must be an integer ≥ 1, got 0"):
        TextBackbone(path, max_tokens=0).prepare()


def test_an_output_with_a_row_per_text(runtime, tmp_path):
    path = text_network(tmp_path, output="pooler_output")
    assert TextBackbone(path).record()["settings"] == {
        "output": "pooler_output",
        "pool": "none",
        "max_tokens": 512,
    }
    close(TextBackbone(path).transform(TEXTS), [tokens(text).max(axis=0) for text in TEXTS])
    both = text_network(tmp_path, output="last_hidden_state pooler_output")
    named = TextBackbone(both, output="pooler_output").transform(TEXTS)
    close(named, [tokens(text).max(axis=0) for text in TEXTS])


def test_the_same_bits_in_any_order_and_for_any_number_of_threads(runtime, tmp_path):
    path = text_network(tmp_path)
    texts = [" ".join(np.random.default_rng(k).choice(["good", "bad", "x"], k)) for k in range(1, 40)]
    first = TextBackbone(path).extract(as_inputs(texts, "texts"), cache=False, n_threads=1).X
    for n_threads in (1, 4):
        X = TextBackbone(path).extract(as_inputs(texts[::-1], "texts"), cache=False, n_threads=n_threads).X
        assert X[::-1].tobytes() == first.tobytes()


def test_a_restored_text_backbone_needs_both_files(runtime, tmp_path):
    path = text_network(tmp_path, config={"model_max_length": 2})
    ours = TextBackbone(path)
    X = ours.transform(TEXTS)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "new").mkdir()
    for file in (path, tmp_path / "tokenizer.json"):
        shutil.move(file, tmp_path / "new" / file.name)
    restored = from_record(ours.record(), {}, tmp_path / "new")
    assert restored.transform(TEXTS).tobytes() == X.tobytes()
    assert restored.identity() == ours.identity()
    assert pickle.loads(pickle.dumps(restored)).transform(TEXTS).tobytes() == X.tobytes()
    tokenizer = tmp_path / "new" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"good"', '"fine"'))
    with pytest.raises(ModelFileError, match="must be the file with which the model was made"):
        from_record(ours.record(), {}, tmp_path / "new").prepare()


def test_text_networks_that_are_refused(runtime, tmp_path):
    def refused(message, **settings):
        with pytest.raises(SoftmarginError, match=message) as caught:
            TextBackbone(text_network(tmp_path, **settings)).transform(["good"])
        assert "\n" not in f"{caught.value}"

    refused("must take input_ids, attention_mask, .* got the input 'mystery'", inputs=("input_ids", "mystery"))
    refused("must take input_ids, .* got the input 'input_ids' of type float", kind=1)
    refused("must take at most 131,072 tokens", length=1 << 40)
    with pytest.raises(DataError, match=r"must take input_ids, .* got the input 'pixels'"):
        TextBackbone(network(tmp_path)).prepare()
    path = text_network(tmp_path, words=("good", "bad", "beyond the table"))
    text_network(tmp_path).replace(path)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["far"] = 99
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(
        DataError, match=r"^X: the text 'far': texts\.onnx cannot compute an input of shape \[1, 1\]"
    ):
        TextBackbone(path).transform(["good", "far"])
    del tokenizer["model"]["vocab"]["[UNK]"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match=r"^X: the text 'other': the text cannot be split into tokens: "):
        TextBackbone(path).transform(["good", "other"])


@pytest.mark.parametrize(
    "content", ["", "{}", "[1, 2", "null", '{"version": "1.0", "model": {"type": "BPE", "vocab": 3}}']
)
def test_a_damaged_tokenizer(runtime, tmp_path, content):
    path = text_network(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json must be a file of the package tokenizers: "):
        TextBackbone(path).prepare()


def test_a_panic_of_the_tokenizer(runtime, tmp_path, capfd):
    path = text_network(tmp_path)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match=r"tokenizer\.json must be a file of the package tokenizers: "):
        TextBackbone(path).prepare()
    capfd.readouterr()  # Rust reports a panic itself


def test_without_a_tokenizer(runtime, tmp_path, monkeypatch):
    path = text_network(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"texts\.onnx needs the file 'tokenizer\.json'; put it beside it"):
        TextBackbone(path).prepare()
    path = text_network(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    words = r'needs the package tokenizers; in the source folder of softmargin run: .* "\.\[backbone\]"\.'
    with pytest.raises(CapabilityError, match=words):
        TextBackbone(path).prepare()


# ---- sentence-transformers ----


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (the extra text) is not installed")
    return save_sentence_model(tmp_path_factory.mktemp("sentences") / "tiny", ["good", "bad"])


def save_sentence_model(folder, words):
    """Write a tiny model of texts: a small transformer with random weights, mean over tokens."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    inner = folder.with_name("inner")
    inner.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (inner / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(inner / "vocab.txt")).save_pretrained(inner)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=32)  # fmt: skip
    BertModel(config).save_pretrained(inner)
    make_sentences(inner, folder)
    return folder


def make_sentences(inner, folder):
    from sentence_transformers import SentenceTransformer

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:  # before version 6
        from sentence_transformers.models import Pooling, Transformer
    SentenceTransformer(modules=[Transformer(str(inner), max_seq_length=16), Pooling(8)], device="cpu").save(
        str(folder)
    )


def embedded(folder, texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return np.stack([model.encode(text, show_progress_bar=False) for text in texts])


def test_sentence_embeddings(sentences):
    texts = ["good", "bad good bad", "", "good " * 100]
    made = make_extractor(f"st:{sentences}")
    assert (made.takes, made.describe()) == ("texts", "st:tiny")
    close(made.transform(texts), embedded(sentences, texts))


def test_sentences_in_any_order_and_any_number_of_threads(sentences):
    import torch

    texts = [" ".join(np.random.default_rng(k).choice(["good", "bad"], k)) for k in range(1, 30)]
    before = torch.get_num_threads()
    first = SentenceEncoder(sentences).extract(as_inputs(texts, "texts"), cache=False, n_threads=1).X
    for n_threads in (1, 4):
        X = SentenceEncoder(sentences).extract(as_inputs(texts[::-1], "texts"), cache=False, n_threads=n_threads).X
        assert X[::-1].tobytes() == first.tobytes()
    assert torch.get_num_threads() == before


def test_a_restored_sentence_encoder(sentences, tmp_path):
    ours = SentenceEncoder(str(sentences), max_tokens=4)
    X = ours.transform(TEXTS)
    assert X.tobytes() != SentenceEncoder(str(sentences)).transform(TEXTS).tobytes()
    record = ours.record()
    moved = shutil.copytree(sentences, tmp_path / "model" / "tiny")
    restored = from_record(record | {"path": "/nowhere/tiny"}, {}, moved.parent)
    assert restored.transform(TEXTS).tobytes() == X.tobytes()
    assert restored.identity() == ours.identity()
    assert copy.deepcopy(restored).transform(TEXTS).tobytes() == X.tobytes()
    (moved / "README.md").write_text("changed")
    assert restored.relocated(moved).transform(TEXTS).tobytes() == X.tobytes()
    (moved / "modules.json").write_text((moved / "modules.json").read_text() + "\n")
    with pytest.raises(ModelFileError, match="must be the one with which the model was made"):
        restored.relocated(moved).prepare()


def test_sentence_models_that_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (the extra text) is not installed")
    with pytest.raises(DataError, match="none must be a folder or a name on the hub, got no such folder"):
        SentenceEncoder(tmp_path / "none").prepare()
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(
        DataError, match=r"cannot be loaded by sentence-transformers: .*; give the folder of a model"
    ):
        SentenceEncoder(tmp_path).prepare()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(CapabilityError, match="needs the package sentence-transformers; in the source"):
        SentenceEncoder(tmp_path).prepare()


def test_a_model_on_the_hub_that_cannot_be_reached(tmp_path):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers (the extra text) is not installed")
    code = (
        "from softmargin.features import make_extractor\n"
        "try: make_extractor('st:no-such/model').prepare()\n"
        "except ValueError as error: print(error)"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=offline)
    assert re.fullmatch(
        r"st:no-such/model cannot be loaded by sentence-transformers: .*; give the folder .*\.\n", run.stdout
    )
    assert run.stderr == ""


def test_what_the_hub_logs_before_an_error_is_hidden(monkeypatch):
    package = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    def load(*_, **__):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying")
        raise OSError("unreachable")

    monkeypatch.setattr(package, "SentenceTransformer", load)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [Handler()])
    with pytest.raises(DataError, match="unreachable"):
        SentenceEncoder("no-such/model").prepare()
    assert not found
    with pytest.raises(OSError, match="unreachable"):
        load()
    assert found == ["Retrying"]


def test_nothing_is_written_to_the_terminal(sentences):
    code = (
        f"from softmargin.features import *; print(SentenceEncoder({str(sentences)!r}).transform(['good']).shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("(1, 8)\n", "")
