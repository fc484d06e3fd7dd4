"""What the page of a class shows: its signature, and the methods and properties that this package defines."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx


def skip(app: Sphinx, what: str, name: str, member: Any, skipped: bool, options: Any) -> bool | None:
    """Return whether a page leaves a member out; None leaves the choice to autodoc."""
    if what != "class" or name.startswith("_"):
        return None
    function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "fn", None) or member)
    own = inspect.isroutine(function) and str(getattr(function, "__module__", "")).startswith("softmargin.")
    return None if own else True


def sign(
    app: Sphinx, what: str, name: str, member: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Return the signature of a class whose base, of an absent package, hides it."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    _, *others = inspect.signature(member.__init__).parameters.values()
    shown = inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in others])
    return str(shown), returned


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen to autodoc."""
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
