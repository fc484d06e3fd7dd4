"""What the site takes from the repository: links to its other files, and the table of supported versions."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCE: str = PROJECT["urls"]["Source"]

INCLUDED = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
"""Pages that show a file from the root of the repository."""

SYSTEMS = "Linux, macOS, Windows"
SHOWN = ("numpy", "scipy", "scikit-learn", "numba")
"""Dependencies whose versions a reader looks for."""


class RepositoryLinks(SphinxTransform):
    """Resolve links that are written for the code host: to other files of the repository, or in `INCLUDED`."""

    default_priority = 5

    def apply(self, **options: Any) -> None:
        docname = self.env.docname
        folder = ROOT if docname in INCLUDED else Path(self.env.doc2path(docname)).parent
        pages = {ROOT / file: page for page, file in INCLUDED.items()}
        links = [
            *self.document.findall(addnodes.download_reference),
            *self.document.findall(addnodes.pending_xref),
        ]
        for node in links:
            if node.get("reftype") != "myst" or node["reftarget"] in self.env.found_docs:
                continue
            target, _, anchor = node["reftarget"].partition("#")
            if node.get("refdomain") == "doc":  # a document outside the site: its path without a suffix
                target, anchor = f"{target}.md", node["reftargetid"]
            path = Path(os.path.normpath(folder / target))
            page = pages.get(path) or self.env.path2doc(path)
            if page in self.env.found_docs:
                link: nodes.Element = addnodes.pending_xref("", *node.children, **node.attributes)
                link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", page, anchor or None
            elif target and path.exists() and path.is_relative_to(ROOT):
                kind = "tree" if path.is_dir() else "blob"
                address = f"{SOURCE}/{kind}/main/{path.relative_to(ROOT).as_posix()}"
                link = nodes.reference("", "", *node.children, refuri=address, internal=False)
            else:
                continue
            node.replace_self(link)
        for node in [*self.document.findall(nodes.literal)]:
            match = re.fullmatch(r"docs/(.+)\.md", node.astext())
            if match and match[1] in self.env.found_docs:  # as docstrings name a document
                node.replace_self(self.link_to(match[1]))

    def link_to(self, docname: str) -> nodes.Element:
        """Return a link to a page, with its title."""
        page = {"refdomain": "std", "reftype": "doc", "reftarget": f"/{docname}", "refexplicit": False}
        return addnodes.pending_xref("", nodes.inline(), refdoc=self.env.docname, **page)


class Compatibility(Directive):
    """A table of the versions and systems that ``pyproject.toml`` names."""

    def run(self) -> list[nodes.Node]:
        rows = [("Python", ", ".join(pythons())), ("Systems", SYSTEMS)]
        required = dict(map(split, PROJECT["dependencies"]))
        rows += [(name, required[name]) for name in SHOWN]
        for extra, packages in PROJECT["optional-dependencies"].items():
            if extra not in ("test", "dev", "docs"):
                rows.append((f"extra {extra}", ", ".join(" ".join(split(p)) for p in packages)))
        return [table(rows)]


def pythons() -> list[str]:
    """Return the versions of Python that the classifiers name."""
    prefix = "Programming Language :: Python :: "
    names = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(f"{prefix}3.")]
    return sorted(names, key=lambda name: [*map(int, name.split("."))])


def split(requirement: str) -> tuple[str, str]:
    """Return the name and the range of a requirement such as ``numba>=0.61,<0.69``."""
    start = min((i for i, c in enumerate(requirement) if c in "<>=!~"), default=len(requirement))
    text = requirement[start:].replace(">=", "≥ ").replace("<", "< ").replace(",", ", ")
    return requirement[:start], text


def table(rows: list[tuple[str, str]]) -> nodes.table:
    """Return a table of two columns without a head."""
    body = nodes.tbody()
    for row in rows:
        entries = [nodes.entry("", nodes.paragraph("", cell)) for cell in row]
        body += nodes.row("", *entries)
    columns = [nodes.colspec(colwidth=width) for width in (1, 3)]
    return nodes.table("", nodes.tgroup("", *columns, body, cols=2), classes=["compatibility"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform and the directive."""
    app.add_transform(RepositoryLinks)
    app.add_directive("compatibility", Compatibility)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
