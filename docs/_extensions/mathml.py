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

SPELLINGS = {
    r"\\lt(?![a-zA-Z])": "<",
    r"\\gt(?![a-zA-Z])": ">",
    r"\\dots(?![a-zA-Z])": r"\\ldots",
    r"(?<!\{)\\textstyle\s*\\sum": r"{\\textstyle\\sum}",
    r"\\(t?frac)\s*(\\[a-zA-Z]+|[^\s{\\])\s*(\\[a-zA-Z]+|[^\s{\\])": r"\\\1{\2}{\3}",
}
r"""What the documents write and docutils does not read: commands that the code host needs, ``\tfrac12``."""

FIXED = re.compile(r"<mo(?: class=\"mathopen\")?>(?=[⟨⟩‖|{}]</mo>)")
r"""Brackets that docutils lets grow with what they enclose, which they do in LaTeX only after ``\left``."""


def mathml(text: str, *, as_block: bool = False) -> str:
    """Return a formula of LaTeX as MathML."""
    for pattern, spelling in SPELLINGS.items():
        text = re.sub(pattern, spelling, text)
    try:
        formula = tex2mathml(text, as_block=as_block)
    except MathError as error:
        raise ValueError(f"A formula must be LaTeX that docutils reads, got {text!r}: {error}") from error
    return formula if re.search(r"\\left(?![a-z])|\{cases\}", text) else FIXED.sub('<mo stretchy="false">', formula)


def inline(translator: Any, node: nodes.math) -> None:
    """Write a formula of a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


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
    return {"parallel_read_safe": True, "parallel_write_safe": True}
