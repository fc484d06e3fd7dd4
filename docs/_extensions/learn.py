"""The pages to learn from: interactive parts, computed numbers, and links between the languages.

- The directive ``widget`` puts the interactive part that a file of ``learn/widgets`` registers under a name. Its
  option ``data`` names the files of ``learn/data`` (without ``.json``) that it needs; ``options`` is JSON for it.
- The role ``n`` puts a computed number: ``margin.total:.3g`` is ``total`` of what ``numbers()`` in
  ``learn/numbers/margin.py`` returns. All of them are written to ``_static/learn/numbers.json``.

The scripts and styles are those of the report (``softmargin.report``), with the parts of the pages.
"""

from __future__ import annotations

import json
import re
import runpy
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

SCRIPTS = ("elements", "charts", "pictures", "losses", "laboratory")
"""Files of the report's page that the pages share."""

LEARN = Path(__file__).parents[1] / "learn"
NAMES = {"en": "English", "zh": "中文"}
NO_SCRIPT = {"en": "This part needs JavaScript.", "zh": "这一部分需要 JavaScript。"}


def language_of(docname: str) -> str:
    """Return the language of a page, from its name: ``learn/01-scores.zh`` is Chinese."""
    return "zh" if docname.endswith(".zh") else "en"


def compute_numbers() -> dict[str, Any]:
    """Run every file of ``learn/numbers`` and return what its ``numbers()`` returns, by ``file.key``."""
    found = {}
    for path in sorted((LEARN / "numbers").glob("[!_]*.py")):
        for key, value in runpy.run_path(str(path))["numbers"]().items():
            found[f"{path.stem}.{key}"] = value
    return found


def written(value: Any, form: str) -> str:
    """Return a number as HTML: a true minus sign, and a power of ten in place of ``e``."""
    text = format(value, form).replace("-", "\N{MINUS SIGN}")
    mantissa, e, exponent = text.partition("e")
    if not e or not isinstance(value, float):
        return escape(text)
    exponent = exponent.replace("+", "").replace("\N{MINUS SIGN}0", "\N{MINUS SIGN}").lstrip("0")
    return f"{mantissa} × 10<sup>{exponent}</sup>"


class NumberRole(SphinxRole):
    """Replace a key by its number."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number as an element that carries its full value."""
        key, _, form = self.text.partition(":")
        numbers = self.env.app.learn_numbers
        if key not in numbers:
            message = self.inliner.reporter.error(f"no file of learn/numbers computes {key!r}", line=self.lineno)
            return [], [message]
        self.env.note_dependency(str(LEARN / "numbers" / f"{key.partition('.')[0]}.py"))
        value = numbers[key]
        attributes = f'data-of="{escape(key)}" value="{escape(str(value))}"'
        html = f'<data class="number" {attributes}>{written(value, form)}</data>'
        return [nodes.raw("", html, format="html")], []


class WidgetDirective(SphinxDirective):
    """Put an interactive part of the page."""

    required_arguments = 1
    option_spec: ClassVar = {"data": directives.unchanged, "options": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the place where the script of the page builds the part."""
        name = self.arguments[0]
        options = json.dumps(json.loads(self.options.get("options", "{}")))
        data = self.options.get("data", "").split()
        for each in data:
            self.env.note_dependency(str(LEARN / "data" / f"{each}.json"))
        self.env.metadata[self.env.docname].setdefault("learn_data", "")
        self.env.metadata[self.env.docname]["learn_data"] += " ".join(["", *data])
        words = NO_SCRIPT[language_of(self.env.docname)]
        html = (
            f'<div class="widget" data-widget="{escape(name)}" data-options="{escape(options)}" '
            f'data-data="{" ".join(data)}"><noscript>{words}</noscript></div>'
        )
        return [nodes.raw("", html, format="html")]


def script() -> str:
    """Return the program of the pages."""
    page = files("softmargin.report") / "page"
    paths = [*(page / f"{name}.js" for name in SCRIPTS), *sorted((LEARN / "widgets").glob("*.js"))]
    program = "\n".join(path.read_text("utf-8") for path in paths)
    words = json.loads((page / "zh.json").read_text("utf-8"))
    words |= json.loads((LEARN / "widgets" / "zh.json").read_text("utf-8"))
    used = {text: chinese for text, chinese in words.items() if json.dumps(text, ensure_ascii=False) in program}
    dictionary = f"const CHINESE = {json.dumps(used, ensure_ascii=False)};"
    choose = 'const WORDS = document.documentElement.lang.startsWith("zh") ? CHINESE : {};'
    return f'"use strict";\n(() => {{\n{dictionary}\n{choose}\n{program}\nstart();\n}})();\n'


def style() -> str:
    """Return the style of the parts; the theme of the site, not the browser, decides between light and dark."""
    page = files("softmargin.report") / "page"
    colors = (page / "colors.css").read_text("utf-8")
    dark = re.sub(r"@media \(prefers-color-scheme: dark\) \{\s*:root:not\(\.paper\) (\{.*?\})\s*\}",
                  r'html[data-theme="dark"]:not(.paper) \1', colors, flags=re.S)  # fmt: skip
    assert dark != colors
    own = (LEARN / "widgets" / "learn.css").read_text("utf-8")
    return f"{dark}\n.widget {{\n{(page / 'elements.css').read_text('utf-8')}\n}}\n{own}"


def prepare(app: Sphinx) -> None:
    """Compute the numbers before the pages are read."""
    app.learn_numbers = compute_numbers()


def add_scripts(app: Sphinx, docname: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add scripts, style and the link to the other language to the pages that need them."""
    if not docname.startswith("learn/"):
        return
    language = language_of(docname)
    context["language"] = {"en": "en", "zh": "zh-CN"}[language]
    other = docname.removesuffix(".zh") + (".zh" if language == "en" else "")
    if other in app.env.found_docs:
        name = NAMES[language_of(other)]
        target = app.builder.get_relative_uri(docname, other)
        link = f'<a class="other-language" lang="{language_of(other)}" href="{escape(target)}">{name}</a>'
        context["body"] = f"<p>{link}</p>\n{context['body']}"
    _, *neighbours = app.builder.relations.get(docname, (None, None, None))
    for key, neighbour in zip(("prev", "next"), neighbours, strict=True):
        if neighbour and neighbour.startswith("learn/") and language_of(neighbour) != language:
            context[key] = None  # the pages of a language are read by themselves
    if doctree is not None and "learn_data" in app.env.metadata[docname]:
        for name in dict.fromkeys(app.env.metadata[docname]["learn_data"].split()):
            app.add_js_file(f"learn/{name}.js", loading_method="defer")
        app.add_js_file("learn/learn.js", loading_method="defer")
    app.add_css_file("learn/learn.css")


def write_files(app: Sphinx, _: Any) -> None:
    """Write scripts, styles, numbers and data to ``_static/learn``, data as scripts: files cannot be fetched."""
    folder = Path(app.outdir) / "_static" / "learn"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "learn.js").write_text(script(), "utf-8")
    (folder / "learn.css").write_text(style(), "utf-8")
    (folder / "numbers.json").write_text(json.dumps(app.learn_numbers, indent=1, ensure_ascii=False), "utf-8")
    for path in sorted((LEARN / "data").glob("*.json")):
        text = f"(window.softmarginData ??= {{}})[{json.dumps(path.stem)}] = {path.read_text('utf-8').strip()};\n"
        (folder / f"{path.stem}.js").write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, the role and the files."""
    app.add_directive("widget", WidgetDirective)
    app.add_role("n", NumberRole())
    app.connect("builder-inited", prepare)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
