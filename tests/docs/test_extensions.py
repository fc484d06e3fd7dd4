"""The extensions of the site: formulas, and what comes from ``pyproject.toml``."""

from __future__ import annotations

import re
import sys
import tomllib
from html import unescape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def mathml() -> ModuleType:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "_extensions"))
        module = import_module("mathml")
        del sys.modules["mathml"]
    return module


def words(formula: str) -> str:
    """Return the text of a formula, a space of MathML as one space."""
    tree = ElementTree.fromstring(formula.replace("&ApplyFunction;", ""))
    return "".join(" " if e.tag.endswith("mspace") else (e.text or "").strip() for e in tree.iter())


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"p_j \log p_j", "pj log pj"),
        (r"\log(1 + x)", "log(1+x)"),
        (r"u_j \gt 0, v \lt \tfrac12", "uj>0,v<12"),
        (r"a + \dots + z", "a+…+z"),
        (r"\operatorname{clip}(u)", "clip(u)"),
        (r"x = \textstyle\sum_i x_i", "x=∑ixi"),
    ],
)
def test_a_formula_is_written(mathml: ModuleType, latex: str, text: str) -> None:
    assert words(mathml.mathml(latex, as_block=True)) == text


def test_brackets_grow_only_after_left(mathml: ModuleType) -> None:
    fixed = mathml.mathml(r"\langle a, \sum_j b \rangle = \lVert c \rVert")
    assert [mark for mark in re.findall(r"<mo([^>]*)>[⟨⟩‖]", fixed) if 'stretchy="false"' not in mark] == []
    for grows in (r"\left\langle \sum_j b \right\rangle", r"\begin{cases} 0 & u \\ 1 & v \end{cases}"):
        assert re.search(r"<mo(?: rspace=\"[^\"]*\")?>[⟨{]", mathml.mathml(grows, as_block=True))


def test_a_formula_that_cannot_be_written_is_an_error(mathml: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"^A formula must be LaTeX that docutils reads, got .*nonsense"):
        mathml.mathml(r"\nonsense{x}")


def test_the_table_of_versions_is_that_of_the_project(site: Path) -> None:
    page = (site / "index.html").read_text("utf-8")
    table = page[page.index('class="compatibility') :].partition("</table>")[0]
    cells = [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td>(.*?)</td>", table, re.S)]
    rows = dict(zip(cells[::2], cells[1::2], strict=True))
    pythons = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert rows["Python"] == ", ".join(pythons)
    for name in ("numpy", "scipy", "scikit-learn", "numba"):
        [required] = [r for r in PROJECT["dependencies"] if re.match(rf"{name}[<>=]", r)]
        assert name + re.sub(r"[ ]", "", rows[name]).replace("≥", ">=") == required
    extras = set(PROJECT["optional-dependencies"]) - {"test", "dev", "docs"}
    assert {f"extra {name}" for name in extras} <= set(rows)


def test_no_line_ends_between_a_formula_and_its_comma(site: Path) -> None:
    for page in ("learn/04-delta.html", "learn/04-delta.zh.html", "mathematics.html"):
        text = (site / page).read_text("utf-8")
        assert re.search(r'<span class="together"><math.*?</math>\s*[.,:;)，。：；、）]</span>', text, re.S), page
        assert not re.search(r"</math>[.,:;)，。：；、）]\s*\w", text), page


def test_neighbours_have_the_language_of_a_page(site: Path) -> None:
    last, first = (
        (site / "learn" / name).read_text("utf-8") for name in ("09-after-pixels.html", "index.zh.html")
    )
    assert "left-prev" in last
    assert "right-next" not in last
    assert "right-next" in first
    assert "left-prev" not in first
