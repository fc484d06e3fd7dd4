"""A report as one page that needs nothing else: style, programs, numbers and pictures are in it.

The page may load nothing and run nothing but what is in it: its Content-Security-Policy names the hashes of the
one style and the one program. What comes from outside (names of classes and files) is in the record, which is JSON
in which no ``<`` stands, and enters the page as text only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from softmargin.report.records import Report
from softmargin.text import pluralize

__all__ = ["page"]

_PROGRAMS = ("core.js", "charts.js", "losses.js", "panels.js", "laboratory.js", "start.js")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def page(report: Report, summary: str) -> Iterator[bytes]:
    """Return the page in pieces.

    Parameters
    ----------
    report : Report
    summary : str
        What is shown where no program runs.
    """
    style = _file("report.css")
    program = '"use strict";\n(() => {\n' + "\n".join(map(_file, _PROGRAMS)) + "})();\n"
    policy = (
        f"default-src 'none'; script-src '{_hash(program)}'; style-src '{_hash(style)}'; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )
    record = json.dumps(report.record(), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    title = escape(report.title)
    judged = f"Judged on {pluralize(report.origin.n_samples, 'sample')} of {escape(report.origin.data)}"
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n<style>{style}</style>\n</head>\n'
        f'<body>\n<a class="skip" href="#main">To the report</a>\n'
        f"<header><h1>{title}</h1>\n<p>{judged}, {escape(_plain_time(report.created))}</p></header>\n"
        f'<nav aria-label="Panels"><div id="nav"></div></nav>\n<main id="main" tabindex="-1">\n'
        f'<noscript><section class="panel"><p>This page draws itself with a program that is part of it and that '
        f"your browser does not run. In short:</p><pre>{escape(summary)}</pre></section></noscript>\n</main>\n"
        f"<footer>Made by softmargin. Everything on this page is in this file; it loads nothing.</footer>\n"
    ).encode()
    yield b'<script type="application/json" id="record">'
    yield record.translate(_UNSAFE).encode()
    yield f"</script>\n<script>{program}</script>\n</body>\n</html>\n".encode()


def _plain_time(moment: str) -> str:
    """Return an ISO time as 3 May 2026, 14:07 UTC."""
    time = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def _file(name: str) -> str:
    return (files("softmargin.report") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
