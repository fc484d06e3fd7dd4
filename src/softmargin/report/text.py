"""A report in a few lines of plain text, for terminals and for browsers without programs."""

from __future__ import annotations

from softmargin.report.records import Report
from softmargin.report.wording import percent

__all__ = ["summary"]

_MOST = 5


def summary(report: Report) -> str:
    """Return the report in short: its answers, warnings, weakest classes and most frequent confusions."""
    lines = [report.title, ""]
    lines += [f"Warning: {words}" for words in report.headline.warnings]
    for question, answer in report.headline.answers:
        lines += [question, f"  {answer}"]
    known = [k for k, share in enumerate(report.headline.recalls) if share.value is not None]
    known.sort(key=lambda k: report.headline.recalls[k].value or 0.0)
    lines.append("Weakest classes")
    for k in known[:_MOST]:
        share = report.headline.recalls[k]
        lines.append(f"  {report.classes[k]}: {percent(share.value or 0.0)} of {share.n:,} found")
    if report.confusion.pairs:
        lines.append("Most confused")
        for a, b, n, back in report.confusion.pairs[:_MOST]:
            lines.append(
                f"  {report.classes[a]} taken for {report.classes[b]}: {n:,}; the other way round {back:,}"
            )
    return "\n".join(lines)
