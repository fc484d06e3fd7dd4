"""The examples of the gallery: they run without a warning, use public names, and are written in plain English."""

from __future__ import annotations

import ast
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

import softmargin as sm
from tests.language import ROOT, TOO_LONG, Text, offences, paragraphs, sentences

SCRIPTS = sorted((ROOT / "docs" / "gallery").glob("plot_*.py"))
MODULES = {"softmargin", "softmargin.samples", "softmargin.selection", "softmargin.solvers"}
"""What the guides import from."""

scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def prose(script: Path) -> list[Text]:
    """Return the paragraphs of the docstring and of the comments that begin with ``# %%``."""
    source = script.read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    comments = re.findall(r"^# %%\n((?:#.*\n)+)", source, re.M)
    found = [docstring, *(re.sub(r"^# ?", "", comment, flags=re.M) for comment in comments)]
    return [Text("docs", script.name, line, text) for part in found for line, text in paragraphs(part)]


def test_there_are_twelve_examples_or_more():
    assert len(SCRIPTS) >= 12


@scripts
def test_an_example_runs_and_its_figures_have_titles(script, tmp_path, monkeypatch, capsys):
    """Warnings are errors; the titles are the alternative texts of the figures on the page."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    try:
        runpy.run_path(str(script))
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert figures
        for figure in figures:
            figure.canvas.draw()
            assert figure.get_suptitle() or (len(figure.axes) == 1 and figure.axes[0].get_title())
            assert figure.get_figwidth() == 6.4  # 640 pixels
    finally:
        plt.close("all")
    assert capsys.readouterr().out.strip()
    assert not list(tmp_path.iterdir())


@scripts
def test_an_example_uses_public_names(script):
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("softmargin"):
            assert node.module in MODULES
            assert {alias.name for alias in node.names} <= set(import_module(node.module).__all__)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id == "sm":
                assert node.attr in {*sm.__all__, "features"}


@scripts
def test_the_text_of_an_example_is_plain(script):
    title, line = ast.get_docstring(ast.parse(script.read_text("utf-8"))).splitlines()[:2]
    assert line == "=" * len(title)
    assert title.endswith("?")
    found = [sentence for text in prose(script) for sentence in sentences(text)]
    assert len(found) >= 4
    long = [str(sentence) for sentence in found if sentence.n_words > TOO_LONG]
    assert not long, "\n".join(long)
    banned = [f"{place}: say {instead}" for text in prose(script) for place, _, instead in offences(text)]
    assert not banned, "\n".join(banned)
