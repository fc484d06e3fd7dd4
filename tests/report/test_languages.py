"""Pages in Chinese: the dictionary is complete; a reader sees Chinese, and the numbers of the record."""

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
from softmargin.samples import Labelled
from softmargin.selection import choose_features
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
    """Yield the strings in the first argument of `tr` and `parts`, in all of `trs`, and the names of losses."""
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


def test_a_phrase_is_its_english_text_and_can_be_translated():
    inner = Phrase("{0} of {1}", "{1}\x07", "b")
    text = Phrase.joined(" ", [Phrase("From {0}.", inner), "plain", inner])
    assert text == "From {1}\x07 of b. plain {1}\x07 of b"
    words = {"{0} of {1}": "{1}/{0}", "{0} {1}": "{0}{1}"}
    for same in (text, pickle.loads(pickle.dumps(text))):
        assert same.translated(words) == "From b/{1}\x07.plainb/{1}\x07"
    assert printable(text).translated(words) == "From b/{1}\\x07.plainb/{1}\\x07"
    assert (Phrase("{"), Phrase.joined(", ", [])) == ("{", "")
    assert capitalized(Phrase("{0} x", Phrase("hinge"))).translated(ZH) == "合页损失 x"
    with pytest.raises(sm.ParameterError, match="language must be one of 'en', 'zh', got 'fr'"):
        dictionary("fr")


# -- what a reader sees ---------------------------------------------------------------------------------------

KEPT = {
    "softmargin", "digits", "SVM", "softmax", "Softmax", "McNemar", "Wilson", "ECE", "UTC", "numpy", "python",
    "reg", "delta", "max", "ln", "dL", "ds", "mid", "safetensors", "one", "two", "few",
}  # fmt: skip
"""Words of a Chinese page that stay: names, symbols, formulas and names of options."""

SEEN = """[...document.querySelectorAll('body, body *')].filter(e => !e.closest('script, noscript, pre, code'))
    .flatMap(e => [...['aria-label', 'aria-roledescription', 'aria-valuetext', 'title']
    .map(n => e.getAttribute(n)), ...[...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data)])
    .filter(Boolean)"""

PLAY = """(() => {
    document.querySelectorAll('details').forEach(e => { e.open = true; });
    document.querySelectorAll('[role=application]').forEach(e => { for (const key of ['ArrowRight', 'Enter', 'n'])
        e.dispatchEvent(new KeyboardEvent('keydown', { key })); });
    document.querySelectorAll('select').forEach(e => {
        e.selectedIndex = 1; e.dispatchEvent(new Event('change')); });
    document.querySelectorAll('.tabs button:last-child').forEach(e => e.click());
    document.querySelector('#summary .sample').click();
})()"""


def english(texts: list[str], names: set[str] = frozenset()) -> set[str]:
    """Return the English words of texts, without those that stay."""
    return {word for text in texts for word in re.findall(r"[A-Za-z]{2,}", text)} - KEPT - names


@pytest.fixture(scope="module")
def chinese(reports, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zh")
    for name, report in reports.items():
        (folder / f"{name}.html").write_bytes(b"".join(page(report, summary(report), "zh")))
    return {name: folder / f"{name}.html" for name in reports}


@in_browser
@pytest.mark.parametrize(
    ("loss", "width", "dark"),
    [("hinge", 1280, False), ("hinge", 400, True), ("cross_entropy", 1280, True), ("cross_entropy", 400, False)],
)
def test_a_chinese_page_has_no_english_words(loss, width, dark, browser, chinese):
    browser.open(chinese[loss], width, dark=dark)
    assert browser.run("document.documentElement.lang") == "zh-CN"
    assert english([*browser.run(SEEN), browser.run("document.title")]) == set()
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run(PLAY)
    texts = browser.run(SEEN)
    assert english(texts) == set()
    assert not [
        text for text in texts if re.search(r"[\u4e00-\u9fff] ?[,;:?]|[,;:?] ?[\u4e00-\u9fff]|undefined", text)
    ]
    assert browser.run("document.querySelector('dialog').open")
    outside = """[...document.querySelectorAll('svg text')].filter(e => {
        const [a, b] = [e, e.ownerSVGElement].map(n => n.getBoundingClientRect());
        return /[\u4e00-\u9fff]/.test(e.textContent)
            && (a.left < b.left - 2 || a.right > b.right + 2); }).map(e => e.textContent)"""
    assert browser.run(outside) == []
    assert browser.problems == []


@in_browser
def test_the_numbers_of_both_languages_are_the_same(browser, pages, chinese, reports):
    shown = []
    for file in (pages["squared_hinge"], chinese["squared_hinge"]):
        browser.open(file)
        shown.append(
            browser.run("[...document.querySelectorAll('data')].map(e => [e.dataset.of, e.value, e.textContent])")
        )
    assert shown[0] == shown[1]
    assert len(shown[0]) > 150
    text = chinese["squared_hinge"].read_text("utf-8")
    record = json.loads(re.search(r'<script type="application/json" id="record">(.*?)</script>', text, re.S)[1])
    words, texts = record.pop("words"), record.pop("texts")
    assert record == reports["squared_hinge"].record()
    assert words == ZH
    for path, translated in texts.items():
        value = record
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        numbers = [re.findall(r"\d[\d.,]*\d|\d", one) for one in (value, translated)]
        assert sorted(numbers[0]) == sorted(numbers[1]), path


def test_the_summary_without_scripts_is_chinese_and_that_of_the_terminal_english(reports):
    report = reports["hinge"]
    text = b"".join(page(report, summary(report), "zh")).decode()
    shown = re.search(r"<noscript>(.*?)</noscript>", text, re.S)[1]
    assert english([re.sub(r"</?\w+[^>]*>", "", shown)], {"JavaScript"}) == set()
    assert "最易混淆的类别" in shown
    assert not re.search("[\u4e00-\u9fff]", summary(report) + json.dumps(report.record(), ensure_ascii=False))
    assert "--lang zh" in text
    assert "--lang" not in b"".join(page(report, summary(report))).decode()


def test_warnings_and_rare_sentences_are_translated(digits, reports):
    y = digits.test.y.astype(np.int64)
    y[y == 3] = 77
    data = replace(digits.test, y=y, ids=tuple(map(str, range(len(y)))))
    made = wide_model(64, list(range(12)))
    found = [fill_report(made, part).record() for part in (data, digits.test)]
    few = Dataset(np.eye(4), np.array(["one", "two"] * 2), "few")
    found.append(fill_report(wide_model(4, ["one", "two"]), few).record())
    for record in found:
        said = [
            *record["headline"]["warnings"],
            *(text for pair in record["headline"]["answers"] for text in pair),
        ]
        said += [record["calibration"]["words"], record["data_errors"]["words"], record["certificate"]["words"]]
        assert english([text.translated(ZH) for text in said]) == set()
    assert len(found[0]["headline"]["warnings"]) == 3


def test_sentences_of_a_selection_are_translated(digits):
    X, y, groups = digits.X[:240], digits.y[:240], np.arange(240) // 4
    settings = {"regs": [1e-2, 1e-3], "scaling": "none"}
    losses = [sm.Hinge(), sm.Hinge(delta=2.0), sm.CrossEntropy()]
    sets = {"one": Labelled.check(X[:, :20], y, keys=X), "two": Labelled.check(X, y)}
    found = [
        sm.choose(X, y, losses, scoring="loss", **settings),
        sm.compare(X, y, losses[:2], rule="one_se", groups=groups, cv=3, **settings),
        choose_features(sets, losses[:1], **settings).comparison,
    ]
    names = {"hinge", "cross", "entropy", "delta"}
    for choice in found:
        for sentence in choice.sentences():
            assert english([sentence.translated(ZH)], names) == set()
    said = " ".join(sentence.translated(ZH) for choice in found for sentence in choice.sentences())
    for words in ("选定：", "3 折，共 60 个组", "按验证损失选定", "一个标准误", "特征 two 与", "p 值偏小"):
        assert words in said


@in_browser
def test_hostile_names_do_nothing_on_a_chinese_page(browser, tmp_path):
    report = hostile_report()
    text = b"".join(page(report, summary(report), "zh"))
    check_page(text.decode())
    (tmp_path / "hostile.html").write_bytes(text)
    browser.open(tmp_path / "hostile.html", 400)
    browser.run(PLAY)
    assert browser.run("typeof window.pwned") == "undefined"
    names = browser.run("[...document.querySelectorAll('#weights select')[0].options].map(e => e.textContent)")
    assert names == list(report.classes)
    assert browser.run("document.documentElement.scrollWidth") <= 400
    assert browser.problems == []


def test_the_curve_in_chinese(digits):
    X, y = digits.X[:200], digits.y[:200]
    found = sm.learning_curve(X, y, loss=["cross_entropy", "hinge"], reg=0.01, shots=[1, "all"], repeats=2)
    texts = [b"".join(curve_page(found, "</title>digits", language)).decode() for language in ("en", "zh")]
    bodies = [re.sub(r"<style>.*?</style>|<meta[^>]*>", "", text, flags=re.S) for text in texts]
    numbers = [sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(r"<[^>]*>", " ", body))) for body in bodies]
    assert numbers[0] == numbers[1]
    assert '<html lang="zh-CN">' in texts[1]
    labels = re.findall(r'aria-label="([^"]*)"', bodies[1])
    assert english([*re.sub(r"<[^>]*>", " ", bodies[1]).split(), *labels], {"lt", "gt", "title"}) == set()


# -- the command line -----------------------------------------------------------------------------------------


def test_the_language_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = ("fit", "digits", "--loss", "hinge", "--reg", "0.1", "--lang", "zh")
    words = run_refused(tmp_path, *fit)
    assert words == "Error: --lang is the language of the HTML report; give its file with --report FILE.html."
    answer = run(*fit, "-o", "m.safetensors", "--report", "f.html")
    assert answer.status == 0, answer.err
    run_refused(
        tmp_path, "report", "m.safetensors", "digits", "-o", "r.html", "--lang", "fr", words=("'en', 'zh'", "'fr'")
    )
    answers = [
        run("report", "m.safetensors", "digits", "-o", f"{name}.html", "--json", "--lang", name)
        for name in ("en", "zh")
    ]
    assert answers[0].json == {**answers[1].json, "created": answers[0].json["created"]}
    for name, lang in (("f", "zh-CN"), ("zh", "zh-CN"), ("en", "en")):
        assert f'<html lang="{lang}">' in Path(f"{name}.html").read_text("utf-8")
