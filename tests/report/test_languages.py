"""Pages in Chinese: the dictionary is complete, and what a reader sees is Chinese with the numbers of the record."""

from __future__ import annotations

import ast
import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import softmargin as sm
from softmargin.data import Dataset
from softmargin.losses import LOSSES
from softmargin.report import curve_page, fill_report, page, summary
from softmargin.report.language import dictionary
from softmargin.report.wording import capitalized
from softmargin.text import Phrase, printable
from tests.support.browser import CHROMIUM
from tests.support.command_line import run, run_refused
from tests.support.hostile import check_page, hostile_report
from tests.support.models import wide_model

PACKAGE = Path(sm.__file__).parent
ZH = dictionary("zh")
in_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: the page is not tried in a browser"
)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\d)\}", text))


# -- the dictionary -------------------------------------------------------------------------------------------


def in_scripts() -> Iterator[str]:
    """Yield the strings in the first argument of `tr` and `parts`, in all of `trs`, and in the names of the losses."""
    literal = re.compile(r'"(?:[^"\\]|\\.)*"')
    for file in (PACKAGE / "report" / "page").glob("*.js"):
        text = file.read_text("utf-8")
        for call in re.finditer(r"(?<!const )\b(?:(tr|parts)|trs)\(", text):
            found, at, depth = [], call.end(), 1
            while depth and not (text[at] == "," and depth == 1 and call[1]):
                if string := literal.match(text, at):
                    found.append(json.loads(string[0]))
                    at = string.end() - 1
                else:
                    depth += (text[at] in "([{") - (text[at] in ")]}")
                at += 1
            argument = text[call.end() : at].rstrip(")")
            assert found or argument in ("LOSS_NAMES[name]", "text"), (file.name, argument)
            yield from found
        for names in re.findall(r"LOSS_NAMES = \{(.*?)\}", text):
            yield from map(json.loads, literal.findall(names))


def strings(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return strings(node.body) + strings(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) else []


def in_python() -> Iterator[str]:
    """Yield the templates of phrases."""
    files = [*(PACKAGE / "report").rglob("*.py"), PACKAGE / "selection" / "wording.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name == "Phrase":
                found = strings(node.args[0])
                assert found or ast.unparse(node.args[0]) in (
                    "text.template",
                    "capitalized(text.template)",
                    "loss.title",
                )
                yield from found
            elif name == "Phrase.joined":
                (separator,) = strings(node.args[0])
                if separator.strip("\n"):
                    yield f"{{0}}{separator}{{1}}"
            elif name == "pluralize":
                one, *many = [strings(argument)[0] for argument in node.args[1:]]
                yield f"{{0}} {one}"
                yield f"{{0}} {many[0] if many else one + 's'}"
    yield from ("{0}, {1}", "{0}, … ({1} more)")  # of `some_of`
    for loss in LOSSES.values():
        yield from (loss.title, capitalized(loss.title))


def test_every_text_has_a_translation_with_the_same_placeholders_and_no_other_is_kept():
    wanted = {*in_scripts(), *in_python()}
    assert len(wanted) > 300
    assert wanted - ZH.keys() == set()
    assert ZH.keys() - wanted == set()
    assert {text: ZH[text] for text in wanted if placeholders(text) != placeholders(ZH[text])} == {}
