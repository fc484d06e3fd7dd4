"""Pages of the site in a real browser: no errors, in both themes, on wide and narrow screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import LOADED, Browser

PAGES = ["index.html", "mathematics.html", "guides/choosing.html"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_a_page_opens_without_a_complaint(page: str, width: int, dark: bool, site: Path, browser: Browser) -> None:
    browser.open(site / page, width, dark=dark, ready=LOADED)
    assert browser.problems == []
    assert browser.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert browser.run("document.documentElement.scrollWidth") <= width
