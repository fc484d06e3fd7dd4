"""Names that try to be more than names, and what a page must not contain."""

from __future__ import annotations

import os
from html.parser import HTMLParser

import numpy as np

import softmargin as sm
from softmargin.data import Dataset
from softmargin.report import Report, fill_report
from tests.support.models import wide_model

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload=window.pwned=1>',
    "' onmouseover='window.pwned = 1",
    "javascript:window.pwned=1",
    "<!-- <script>",
    "]]>",
    "&lt;b&gt; &amp; &#60;",
    "${window.pwned = 1}",
    "`+window.pwned+`",
    "a\u2028b\u2029c",
    "\x1b[31mred\x00",
    "\u202egnp.exe",
    os.fsdecode(b"\xff\xfe"),
    "</style><style>*{display:none}",
    "{{7*7}}",
    "__proto__",
    "constructor",
    "x" * 300,
)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def check_page(text: str) -> None:
    found = Tags(text)
    assert (found.tags.count("script"), found.tags.count("style")) == (2, 1)
    assert not {"img", "svg", "iframe", "object", "link", "base"} & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}


def hostile_report() -> Report:
    """Return a report in which 200 names of classes and as many of files try to be more than names."""
    names = [f"{HOSTILE[k % len(HOSTILE)]}{k}" for k in range(200)]
    rng = np.random.default_rng(3)
    X = rng.integers(0, 256, (400, 48), dtype=np.uint8)
    y = np.array(names)[np.arange(400) % 200]
    ids = tuple(f"{HOSTILE[(k + 5) % len(HOSTILE)]}/{k}" for k in range(400))
    data = Dataset(X, y, HOSTILE[1], ids=ids, image_shape=(4, 4, 3))
    others = [wide_model(48, names, seed=1, loss=sm.CrossEntropy(), image_shape=(4, 4, 3))]
    model = wide_model(48, names, image_shape=(4, 4, 3), data_name=HOSTILE[0], selection={"reason": HOSTILE[2]})
    return fill_report(model, data, None, others, model_name=HOSTILE[4], data_name=HOSTILE[3])
