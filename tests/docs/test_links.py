"""The built pages: every link, anchor and image resolves, nothing is loaded from elsewhere, no name is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import softmargin as sm

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "image": "href"}
"""Elements that load what an attribute names; links to follow are another matter."""
EMPTY = ("rel", "canonical"), ("rel", "search"), ("rel", "index"), ("rel", "next"), ("rel", "prev")


class Page(HTMLParser):
    """The anchors of a page, where its links lead and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "#"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif given.get(LOADED.get(tag, "")) and not set(EMPTY) & set(given.items()):
            self.loaded.append(given[LOADED[tag]])
        self.loaded += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style") or "")

    handle_startendtag = handle_starttag


def is_elsewhere(address: str) -> bool:
    return re.match(r"[a-z][a-z+.-]*:|//", address) is not None


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def dead(pages: dict[Path, Page]) -> Iterator[tuple[str, str]]:
    """Yield page and address of what does not exist."""
    for path, page in pages.items():
        for address in [*page.links, *page.loaded]:
            if is_elsewhere(address):
                continue
            place, _, anchor = address.partition("#")
            file = (path.parent / unquote(place.partition("?")[0])).resolve() if place else path
            known = pages[file].anchors if file in pages else {""}
            if not file.is_file() or (file in pages and unquote(anchor) not in known):
                yield path.name, address


def test_the_build_has_no_warnings(site: Path) -> None:
    assert (site / "warnings.txt").read_text("utf-8") == ""


def test_links_anchors_and_images_resolve(pages: dict[Path, Page]) -> None:
    assert len(pages) > 80
    assert sum(len(page.links) for page in pages.values()) > 5000
    assert list(dead(pages)) == []


def test_a_dead_link_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        '<p id="b"><a href="#b"></a><a href="#c"></a><a href="d.html"></a><img src="e.png"></p>', "utf-8"
    )
    assert list(dead({path: Page(path)})) == [("a.html", "#c"), ("a.html", "d.html"), ("a.html", "e.png")]


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    fetched = [a for page in pages.values() for a in page.loaded if is_elsewhere(a) and not a.startswith("data:")]
    assert fetched == []
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        named = re.findall(r"url\(\s*['\"]?([^)'\"]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
        for address in named:
            if not address.startswith(("data:", "#")):
                assert not is_elsewhere(address), style
                assert (style.parent / re.split(r"[?#]", address)[0]).is_file(), (style, address)


def test_links_to_the_code_host_name_files_that_exist(pages: dict[Path, Page]) -> None:
    root = Path(__file__).parents[2]
    found = set()
    for page in pages.values():
        for address in page.links:
            if match := re.match(
                r"https://github\.com/softmargin/softmargin/(?:blob|tree)/main/([^#?]+)", address
            ):
                found.add(match[1])
    assert "benchmarks/results/cluster.md" in found
    assert [name for name in sorted(found) if not (root / name).exists()] == []


# The reference


def public() -> list[str]:
    import softmargin.features
    import softmargin.textbook

    names = [f"softmargin.{name}" for name in sm.__all__ if name != "__version__"]
    for module in (softmargin.features, softmargin.textbook):
        names += [f"{module.__name__}.{name}" for name in module.__all__]
    tree = (Path(sm.__file__).parent / "torch" / "__init__.py").read_text("utf-8")  # PyTorch may be absent
    return names + [f"softmargin.torch.{name}" for name in re.findall(r"\"(\w+)\",", tree.partition("__all__")[2])]


def test_every_public_name_is_in_the_reference(pages: dict[Path, Page], site: Path) -> None:
    described = set().union(*(page.anchors for path, page in pages.items() if "generated" in path.parts))
    assert len(public()) > 50
    assert [name for name in public() if name not in described] == []
    listed = set().union(*(page.links for path, page in pages.items() if path.parent == site / "reference"))
    assert [name for name in public() if f"generated/{name}.html#{name}" not in listed] == []


def test_every_command_and_option_is_in_the_reference(pages: dict[Path, Page], site: Path) -> None:
    from softmargin.cli import softmargin

    anchors = pages[site / "reference" / "command-line.html"].anchors
    for name, command in softmargin.commands.items():
        assert f"softmargin-{name}" in anchors
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"cmdoption-softmargin-{name}-{option.lstrip('-')}" in anchors
