"""The English and the Chinese pages to learn from agree in headings, figures and numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEARN = ROOT / "docs" / "learn"
PAGE = ROOT / "src" / "softmargin" / "report" / "page"
PAGES = sorted(path for path in LEARN.glob("*.md") if not path.name.endswith(".zh.md"))
SHARED = ("elements", "charts", "pictures", "losses", "laboratory")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)

FENCE = re.compile(r"^( *)```(?P<info>[^\n]*)\n(?P<text>.*?)^\1```$", re.M | re.S)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.S)
NUMBER_ROLE = re.compile(r"\{n\}`([^`]+)`")
LITERAL = re.compile(r"""\b(?:tr|parts)\(\s*"((?:[^"\\]|\\.)*)\"""")


def chinese(page: Path) -> Path:
    return page.with_name(f"{page.stem}.zh.md")


def sections(text: str) -> list[str]:
    """Return the parts of a page between its headings, without blocks of code."""
    return re.split(r"^#+ .*$", FENCE.sub("", text), flags=re.M)


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the blocks of a page without what is translated: captions and comments."""
    found = []
    for match in FENCE.finditer(text):
        lines = [line for line in match["text"].splitlines() if not line.strip().startswith((":caption:", "#"))]
        if "note" in match["info"] or "toctree" in match["info"] or "grid" in match["info"]:
            continue
        code = "\n".join(re.sub(r"  # .*$", "", line).strip() for line in lines)
        found.append((match["info"].strip(), code.strip()))
    return found


def digits(section: str) -> Counter[str]:
    """Return the numbers that stand in the text, outside formulas, roles, code and targets of links."""
    text = NUMBER_ROLE.sub("", section)
    text = re.sub(r"\]\([^)]*\)", "]", FORMULA.sub("", text))
    text = re.sub(r"`[^`]*`", "", text).replace("\N{MINUS SIGN}", "-")
    return Counter(re.findall(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", text))


def displayed(section: str) -> list[str]:
    """Return the displayed formulas, without their words."""
    found = [formula for formula in FORMULA.findall(section) if formula.startswith("$$")]
    return [re.sub(r"\s+", " ", re.sub(r"\\text\{[^}]*\}", "", formula)) for formula in found]


@pages
def test_headings_agree(page):
    levels = [
        [len(mark) for mark in re.findall(r"^(#+) ", FENCE.sub("", path.read_text("utf-8")), re.M)]
        for path in (page, chinese(page))
    ]
    assert levels[0] == levels[1]
    assert levels[0][0] == 1


@pages
def test_figures_and_programs_agree(page):
    english, translated = (blocks(path.read_text("utf-8")) for path in (page, chinese(page)))
    assert english == translated
    assert page.stem == "index" or any("{widget}" in info for info, _ in english)


@pages
def test_numbers_and_formulas_agree(page):
    english, translated = (sections(path.read_text("utf-8")) for path in (page, chinese(page)))
    assert len(english) == len(translated)
    for one, other in zip(english, translated, strict=True):
        assert Counter(NUMBER_ROLE.findall(one)) == Counter(NUMBER_ROLE.findall(other))
        assert displayed(one) == displayed(other)
        assert digits(one) == digits(other), one[:200]


@pages
def test_a_chinese_page_is_chinese_and_links_to_chinese_pages(page):
    text = chinese(page).read_text("utf-8")
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", FORMULA.sub("", FENCE.sub("", text)))
    assert len(re.findall(r"[\u4e00-\u9fff]", prose)) > 3 * len(re.findall(r"[a-z]{2,}", prose))
    for target in re.findall(r"\]\((?:\./)?(\d\d-[\w-]+(?:\.zh)?\.md)", text):
        assert target.endswith(".zh.md"), target


@pages
def test_a_chinese_paragraph_is_one_line_since_a_browser_shows_its_end_as_a_space(page):
    text = FENCE.sub("", chinese(page).read_text("utf-8"))
    prose = re.sub(r"^ *(?:```|:::|[|#]|\$\$|:\w+:).*$", "", text, flags=re.M)
    assert re.findall(r"^.*[\u3000-\u9fff\uff00-\uffef”]\n *(?![-*] |\d+\. )\S.*$", prose, flags=re.M) == []


@pages
def test_three_exercises_with_answers(page):
    if page.stem == "index":
        return
    last = re.split(r"^## .*$", page.read_text("utf-8"), flags=re.M)[-1]
    assert re.findall(r"^(\d)\. ", last, re.M) == ["1", "2", "3"]
    assert last.count("{dropdown} Answer") == 3
    for answer in re.findall(r"\{dropdown\} Answer(.*?):::", last, re.S):
        assert NUMBER_ROLE.search(answer), f"the library should compute the answer: {answer.strip()[:100]}"


def test_every_text_of_a_part_has_a_translation():
    words = json.loads((LEARN / "widgets" / "zh.json").read_text("utf-8"))
    shared = json.loads((PAGE / "zh.json").read_text("utf-8"))
    used = set()
    for path in sorted((LEARN / "widgets").glob("*.js")):
        used |= {json.loads(f'"{text}"') for text in LITERAL.findall(path.read_text("utf-8"))}
    assert sorted(used - words.keys() - shared.keys()) == []
    assert sorted(words.keys() - used) == []
    for text, translation in words.items():
        assert shared.get(text) != translation, f"{text!r} is translated twice"
        assert Counter(re.findall(r"\{\d\}", text)) == Counter(re.findall(r"\{\d\}", translation)), text
