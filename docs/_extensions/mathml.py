"""Formulas as MathML, which browsers draw without a script or a font from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

TAG = re.compile(r"\s*\\tag\{([^}]*)\}\s*")
"""The number of an equation."""

LONG = 40
"""Number of characters from which a formula of a line gets an element that can scroll on a narrow screen."""

SPELLINGS = {
    r"\\lt(?![a-zA-Z])": "<",
    r"\\gt(?![a-zA-Z])": ">",
    r"\\dots(?![a-zA-Z])": r"\\ldots",
    r"(?<!\{)\\textstyle\s*\\sum": r"{\\textstyle\\sum}",
    r"\\(t?frac)\s*(\\[a-zA-Z]+|[^\s{\\])\s*(\\[a-zA-Z]+|[^\s{\\])": r"\\\1{\2}{\3}",
}
r"""What the documents write and docutils does not read: commands that the code host needs, ``\tfrac12``."""

SPACE = '<mspace width="0.17em"></mspace>'
SPACING = {
    r"<mo>&ApplyFunction;</mo>(?=\s*<(?:mi|mn|msub|msup|msubsup|mfrac)>)": SPACE,  # log p
    r"(</(?:mi|mn|msub|msup|msubsup|mfrac)>)(?=\s*<mi(?: mathvariant=\"normal\")?>\w{2})": rf"\1{SPACE}",  # p log
    r"<mo>(?=(?:max|min)</mo>\s*<mo[^>]*>[({])": '<mo rspace="0">',  # max(0, u)
}
"""The thin spaces of LaTeX around the names of functions."""

FIXED = 'stretchy="false"'
BRACKETS = {
    r"<mo(?: class=\"mathopen\")?>(?=[⟨⟩{}]</mo>)": f"<mo {FIXED}>",
    r"<mo(?: class=\"mathopen\"| stretchy=\"false\")?>(?=[|‖]</mo>)": f'<mo {FIXED} lspace="0" rspace="0">',
}
r"""Brackets that docutils lets grow with what they enclose, which they do in LaTeX only after ``\left``."""

PUNCTUATION = re.compile(r"[.,:;)?!]+|[，。：；、）？！]+")
"""Between a formula and such marks, no line ends."""


def mathml(text: str, *, as_block: bool = False) -> str:
    """Return a formula of LaTeX as MathML."""
    text = replaced(text, SPELLINGS)
    try:
        formula = tex2mathml(text, as_block=as_block)
    except MathError as error:
        raise ValueError(f"A formula must be LaTeX that docutils reads, got {text!r}: {error}") from error
    grow = re.search(r"\\left(?![a-z])", text)
    return replaced(formula, SPACING if grow else SPACING | BRACKETS)


def replaced(text: str, patterns: dict[str, str]) -> str:
    """Return the text with each pattern replaced."""
    for pattern, replacement in patterns.items():
        text = re.sub(pattern, replacement, text)
    return text


def inline(translator: Any, node: nodes.math) -> None:
    """Write a formula of a line."""
    text = node.astext()
    formula = mathml(text)
    translator.body.append(f'<span class="long-formula">{formula}</span>' if len(text) > LONG else formula)
    raise nodes.SkipNode


def keep_together(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let no line end between a formula and the punctuation after it."""
    for formula in list(doctree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        text = parent[place + 1] if place + 1 < len(parent) else None
        if isinstance(text, nodes.Text) and (marks := PUNCTUATION.match(text)):
            parent[place : place + 2] = [
                nodes.inline("", "", formula, nodes.Text(marks[0]), classes=["together"]),
                nodes.Text(text[marks.end() :]),
            ]


def display(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number on the right."""
    text = node.astext()
    number = TAG.search(text)
    translator.body.append(translator.starttag(node, "div", CLASS="formula"))
    translator.body.append(f'<div class="formula-body">{mathml(TAG.sub("", text), as_block=True)}</div>')
    if number:
        translator.body.append(f'<span class="formula-number">({number[1]})</span>')
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
