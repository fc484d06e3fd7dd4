"""Every JSON document has a version and a format, and the guide lists its fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmargin._version import __version__
from softmargin.cli import softmargin as command_line
from tests.support.command_line import SOFT, run

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "json.md").read_text("utf-8")

DOCUMENTS = {
    "fit": ("fit", "d.npz", "-o", "again.safetensors", *SOFT),
    "compare": ("compare", "d.npz", "--loss", "hinge", "--folds", "2"),
    "curve": ("curve", "d.npz", "--shots", "2,all", "--repeats", "2", "--reg", "0.1"),
    "embed": ("embed", "pictures.npz", "--features", "hog", "-o", "f.safetensors"),
    "evaluate": ("evaluate", "m.safetensors", "d.npz"),
    "predict": ("predict", "m.safetensors", "d.npz", "-o", "p.csv"),
    "report": ("report", "m.safetensors", "d.npz", "-o", "r.html"),
    "export": ("export", "m.safetensors", "-o", "m.npz"),
    "model": ("info", "m.safetensors"),
    "data": ("info", "d.npz"),
    "check": ("check", "losses.py:loss", "--loss", "hinge"),
    "command": ("info", "m.safetensors", "--command"),
    "cache": ("info", "--cache"),
    "environment": ("info", "--env"),
}
"""A command for each document, by the heading of its section in the guide."""


def fields(heading: str) -> tuple[set[str], set[str]]:
    """Return the fields that a section of the guide lists: all of them, and those that are always there."""
    [section] = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", GUIDE, re.M | re.S)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.M))
    return set(rows), {name for name, text in rows.items() if not text.startswith("Only ")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    np.savez(folder / "d.npz", X_train=X, y_train=y, X_test=X[:30], y_test=y[:30])
    np.savez(folder / "pictures.npz", X=rng.integers(0, 256, (12, 16, 16), np.uint8), y=np.arange(12) % 2)
    (folder / "losses.py").write_text("from softmargin.textbook import svm_loss_vectorized as loss")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("fit", "d.npz", "-o", "m.safetensors", *SOFT).status == 0
    return folder


@pytest.mark.parametrize("heading", DOCUMENTS)
def test_the_guide_lists_the_fields_of_each_document(heading: str, made: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    answer = run(*DOCUMENTS[heading], "--json")
    assert answer.status == 0, answer.err
    found = list(answer.json)
    assert found[:2] == ["softmargin", "format"]
    assert (answer.json["softmargin"], answer.json["format"]) == (__version__, f"softmargin.{heading}/1")
    listed, always = fields(heading)
    assert always <= set(found[2:]) <= listed
    assert f"`softmargin.{heading}/1`" in GUIDE


def test_the_guide_lists_the_fields_of_a_line(made: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    listed, always = fields("Lines of predict")
    found: set[str] = set()
    for option in ((), ("--scores",), ("--proba",), ("--margin",)):
        for line in run("predict", "m.safetensors", "d.npz", "--json", *option).text.splitlines():
            assert always <= set(json.loads(line))
            found |= set(json.loads(line))
    assert found == listed


def test_the_guide_lists_the_fields_of_a_curve(made: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    curve = run(*DOCUMENTS["curve"], "--json").json["curve"]
    assert set(curve) == fields("Fields of a curve")[1]
    for point in curve["curves"][0]["points"]:
        assert set(point) == fields("Points of a curve")[1]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_text_is_readable_where_the_encoding_allows_it(encoding: str, made: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    names = np.array(["grün", "κόκκινο", "\x85\u202eodd\U0001f600"])
    with np.load("d.npz") as arrays:
        np.savez("names.npz", X=arrays["X_train"], y=names[arrays["y_train"]])
    assert run("fit", "names.npz", "-o", "names.safetensors", *SOFT).status == 0
    evaluated, predicted, info = (
        run(*words, "--json", encoding=encoding)
        for words in (
            ("evaluate", "names.safetensors", "names.npz"),
            ("predict", "names.safetensors", "names.npz"),
            ("info", "names.npz"),
        )
    )
    assert {share["name"] for share in evaluated.json["classes"]} == set(names)
    assert {json.loads(line)["label"] for line in predicted.out.splitlines()} == set(names)
    assert set(info.json["data"]["classes"]) == set(names)
    for answer in (evaluated, predicted, info):
        shown = [name in answer.out.decode() for name in ("grün", "κόκκινο", "odd\U0001f600", "\x85", "\u202e")]
        assert shown == [encoding == "utf-8"] * 2 + [encoding == "utf-8"] + [False] * 2
    run("predict", "names.safetensors", "names.npz", "-o", "names.jsonl", encoding="ascii")
    assert "grün" in Path("names.jsonl").read_text("utf-8")


def test_every_command_that_offers_json_is_in_the_guide() -> None:
    with_json = {
        name for name, verb in command_line.commands.items() if any("--json" in p.opts for p in verb.params)
    }
    assert with_json == {words[0] for words in DOCUMENTS.values()}


def test_the_file_of_compare_is_the_same_document(made: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    answer = run(*DOCUMENTS["compare"], "-o", "c.json", "--json")
    assert json.loads((made / "c.json").read_text("utf-8")) == answer.json


def test_the_fields_of_a_section_are_found() -> None:
    assert fields("command") == ({"model", "command"}, {"model", "command"})
    assert fields("data") == ({"data", "test"}, {"data"})
