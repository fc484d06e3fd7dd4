"""The recipes run as they are written, with small local models and data in place of public ones."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import softmargin as sm
from tests.test_docs import ROOT, blocks

DOCUMENT = ROOT / "docs" / "guides" / "recipes.md"
MOST_LINES = 15
PROGRAMS = [block.text for block in blocks(DOCUMENT.read_text("utf-8")) if block.language == "python"]
GOOD, BAD = ("good film", "great film", "good good", "great"), ("bad film", "poor film", "bad bad", "poor")
TEXTS = [*GOOD, *BAD] * 3
LABELS = ["up"] * len(GOOD) + ["down"] * len(BAD)
LABELS *= 3


def program(word: str) -> str:
    """Return the only recipe that contains this word."""
    [found] = [text for text in PROGRAMS if word in text]
    return found


def run(text: str, replaced: dict[str, str], **space: object) -> SimpleNamespace:
    """Run a recipe after replacing the names of public models, each of which must occur."""
    for name, other in replaced.items():
        assert name in text, name
        text = text.replace(name, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages deprecate their own names
        exec(compile(text, DOCUMENT.name, "exec"), space)
    return SimpleNamespace(**space)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Work in an own folder, without network."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def encoder(tmp_path) -> str:
    """Return the folder of a tiny sentence encoder with random weights."""
    from tests.features.test_text_models import save_sentence_model

    return str(save_sentence_model(tmp_path / "encoder", ["good", "bad", "film", "great", "poor"]))


def needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"the package {package} is not installed")


def test_recipes_are_short_and_tested():
    tested = set(re.findall(r'program\("([^"]+)"\)', Path(__file__).read_text("utf-8")))
    assert [sum(word in text for word in tested) for text in PROGRAMS] == [1] * len(PROGRAMS)
    assert max(sum(bool(line.strip()) for line in text.splitlines()) for text in PROGRAMS) < MOST_LINES


def test_cleanlab_finds_wrong_labels(monkeypatch):
    needs("cleanlab")
    data = sm.load_dataset("digits")
    wrong = np.arange(0, 300, 10)
    y = data.y.copy()
    y[wrong] = (y[wrong] + 3) % 10
    monkeypatch.setattr(sm, "load_dataset", lambda name: SimpleNamespace(X=data.X, y=y))
    suspects = run(program("cleanlab"), {}).suspects
    first = set(suspects[: len(wrong)].tolist())
    assert len(first & set(wrong.tolist())) >= 0.8 * len(wrong)  # by chance 2 %


def test_the_protocol_of_dinov3(tmp_path):
    needs("torch", "transformers")
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTModel, ViTImageProcessorPil

    torch.manual_seed(0)
    config = DINOv3ViTConfig(
        image_size=16, patch_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_register_tokens=0,
    )  # fmt: skip
    DINOv3ViTModel(config).save_pretrained(tmp_path / "vit")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")
    rng = np.random.default_rng(0)
    y, y_test = np.arange(120) % 3, np.arange(30) % 3

    def pictures(labels):
        noise = rng.integers(0, 40, (len(labels), 16, 16, 3))
        return list((noise + np.eye(3, dtype=int)[labels][:, None, None] * 200).astype(np.uint8))

    images, test_images = pictures(y), pictures(y_test)
    space = {"images": images, "y": y, "test_images": test_images, "y_test": y_test}
    found = run(
        program("ShuffleSplit"), {"facebook/dinov3-vits16-pretrain-lvd1689m": str(tmp_path / "vit")}, **space
    )
    assert found.X.shape == (120, 8)
    assert found.search.score(found.X_test, y_test) == 1.0
    assert len(found.search.path_.paths[0].points) == 45
    assert found.search.gap_ <= 1e-4


def test_a_head_for_setfit(encoder):
    needs("setfit", "datasets")
    from datasets import Dataset

    names = {
        "sentence-transformers/paraphrase-mpnet-base-v2": encoder,
        "num_epochs=1": "num_epochs=1, max_steps=2, report_to='none'",
    }
    found = run(program("setfit"), names, train=Dataset.from_dict({"text": TEXTS, "label": LABELS}))
    head = found.model.model_head
    assert head.gap_ <= head.tol
    assert list(found.model.predict(["good good", "bad bad"])) == ["up", "down"]


def test_an_encoder_in_mteb(encoder, monkeypatch):
    needs("mteb")
    import mteb
    from datasets import Dataset, DatasetDict

    part = Dataset.from_dict({"text": TEXTS, "label": [int(label == "up") for label in LABELS]})
    task = mteb.get_task("Banking77Classification.v2")
    task.dataset, task.data_loaded = DatasetDict(train=part, test=part), True
    monkeypatch.setattr(mteb, "get_task", {"Banking77Classification.v2": task}.__getitem__)
    found = run(program("mteb"), {"sentence-transformers/all-MiniLM-L6-v2": encoder})
    assert isinstance(task.evaluator_model, sm.LinearClassifier)
    assert task.evaluator_model.converged_
    assert found.result.task_results[0].get_score() == 1.0
