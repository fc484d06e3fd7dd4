"""Pages of the site in a real browser: no errors in both themes on wide and narrow screens; formulas; search."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.parts import LEARN
from tests.support.browser import LOADED, Browser

PAGES = [
    "index.html",
    "mathematics.html",
    "guides/choosing.html",
    "guides/command-line.html",
    "reference/index.html",
    "reference/command-line.html",
    "reference/generated/softmargin.LinearClassifierCV.html",
    "auto_gallery/index.html",
    "changelog.html",
]

BEYOND = """[...document.querySelectorAll("article :not(svg *, math *)")].filter(e => {
    const box = e.getBoundingClientRect();
    if (!box.width || Math.max(box.right, box.left + e.scrollWidth) <= innerWidth + 1) return false;
    for (let p = e; p.tagName !== "ARTICLE"; p = p.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(p).overflowX)) return false;
    return true;
}).map(e => e.outerHTML.slice(0, 120))"""
"""What reaches beyond the screen, except in a part that scrolls by itself."""


VIEWS = [(1280, False), (1280, True), (400, False), (400, True)]
"""Width of the screen, and whether the theme is dark."""


def check_views(browser: Browser, complaints: str = "[]") -> None:
    """Look at the page that is open in each view; ``complaints`` is an expression that must be an empty list."""
    for width, dark in VIEWS:
        browser.view(width, dark=dark)
        browser.wait(f"document.documentElement.dataset.theme === '{'dark' if dark else 'light'}'")
        browser.drawn()
        assert browser.problems == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(BEYOND) == [], (width, dark)
        assert browser.run(complaints) == [], (width, dark)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_errors(page: str, site: Path, browser: Browser) -> None:
    browser.open(site / page, ready=LOADED)
    check_views(browser, "[...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src)")


LATIN = {
    "SVM",
    "SGD",
    "HOG",
    "CIFAR",
    "NumPy",
    "Objective",
    "softmargin",
    "softmax",
    "Softmax",
    "means",
    "max",
    "log",
}
"""Names and functions that stay in the interactive parts of Chinese pages."""


@pytest.mark.parametrize("page", sorted(path.stem for path in LEARN.glob("0*.md")))
def test_a_learning_page_opens_without_errors(page: str, site: Path, browser: Browser) -> None:
    browser.open(site / "learn" / f"{page}.html")
    check_views(
        browser, "[...document.querySelectorAll('.widget')].filter(e => e.clientHeight < 100).map(e => e.id)"
    )
    unnamed = """[...document.querySelectorAll('.widget :is(button, select, input, canvas, svg)')].filter(
        e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.querySelector('[aria-label]'))
        ).map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(unnamed) == []
    text = browser.run("[...document.querySelectorAll('article p, .widget')].map(e => e.innerText).join()")
    assert not re.search(r"undefined|null|\$", text)
    assert browser.run("document.querySelectorAll('article details').length") >= 3, "three exercises with answers"
    parts = browser.run("[...document.querySelectorAll('.widget')].map(e => e.innerText).join('\\n')")
    if page.startswith("05"):  # its page of overflow shows what is not a number
        parts = parts.replace("NaN", "").replace("Infinity", "")
    assert not re.search("NaN|Infinity", parts)
    chinese = page.endswith(".zh")
    assert browser.run("document.documentElement.lang") == ("zh-CN" if chinese else "en")
    if chinese:
        for command in browser.run(
            "[...document.querySelectorAll('.widget :is(code, pre)')].map(e => e.innerText)"
        ):
            parts = parts.replace(command, "")
        assert set(re.findall("[A-Za-z]{3,}", parts)) <= LATIN


def test_formulas_are_drawn(site: Path, browser: Browser) -> None:
    browser.open(site / "mathematics.html", ready=LOADED)
    assert browser.run("document.querySelectorAll('math').length") > 400
    assert browser.run("document.querySelectorAll('.formula-number').length") > 10
    assert browser.run("document.fonts.ready.then(() => document.fonts.check('16px \"softmargin math\"'))")
    text = browser.run("document.querySelector('article').innerText")
    assert "\\" not in text
    assert "$" not in text
    # A sum of a display is larger than one in a line: the font has the sizes of mathematics.
    height = "Math.max(...[...document.querySelectorAll('%s mo')].filter(e => e.textContent === '∑')"
    height += ".map(e => e.getBoundingClientRect().height))"
    assert browser.run(height % ".formula") > 1.2 * browser.run(height % "p")


def test_the_search_finds_pages_without_a_server(site: Path, browser: Browser) -> None:
    found = "[...document.querySelectorAll('#search-results li a')].map(e => e.getAttribute('href'))"
    ready = f"{found}.some(e => e.startsWith('mathematics.html'))"
    browser.open(site / "search.html", ready=LOADED)
    browser.call("Page.navigate", url=(site / "search.html").as_uri() + "?q=preconditioner")
    browser.wait(ready)
    assert browser.problems == []
