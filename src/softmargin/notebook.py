"""Tables that a notebook shows for an object: HTML without scripts or colours, which suits any theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from softmargin.text import printable, truncate

__all__ = ["table"]

_LONGEST = 300
"""Characters of a cell that are shown."""

_CELL = "padding:2px 12px 2px 0;text-align:{};vertical-align:top;border:0"


def table(
    caption: str, rows: Sequence[Sequence[object]], headings: Sequence[str] = (), sentences: Sequence[str] = ()
) -> str:
    """Return a table as HTML; everything is escaped, and what cannot be printed is shown as an escape sequence.

    Parameters
    ----------
    caption : str
    rows : sequence of sequences
        The first cell of each is the heading of its row. Numbers are aligned to the right.
    headings : sequence of str, optional
        Of the columns.
    sentences : sequence of str, optional
        Shown below the table.
    """
    lines = [f'<table style="border-collapse:collapse"><caption style="{_CELL.format("left")}">']
    lines.append(f"<strong>{_shown(caption)}</strong></caption>")
    if headings:
        cells = (_cell("th", name, "left" if k == 0 else "right", "col") for k, name in enumerate(headings))
        lines.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    lines.append("<tbody>")
    for name, *values in rows:
        side = "right" if headings else "left"
        cells = (_cell("td", value, side) for value in values)
        lines.append(f"<tr>{_cell('th', name, 'left', 'row')}{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>", *(f"<p>{_shown(one)}</p>" for one in sentences)])


def _cell(tag: str, value: object, side: str, scope: str = "") -> str:
    attribute = f' scope="{scope}"' if scope else ""
    return f'<{tag}{attribute} style="{_CELL.format(side)}">{_shown(value)}</{tag}>'


def _shown(value: object) -> str:
    return escape(truncate(printable(value), _LONGEST))
