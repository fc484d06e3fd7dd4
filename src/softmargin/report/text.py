"""The summary of a report as plain text, for terminals and for browsers without JavaScript."""

from __future__ import annotations

from softmargin.report.records import Report
from softmargin.report.wording import loss_name, percent, short
from softmargin.text import pluralize

__all__ = ["summary"]

_MOST = 5


def summary(report: Report) -> str:
    """Return the summary: warnings, main results, lowest recalls and most frequent confusions."""
    lines = [report.title, ""]
    lines += [f"Warning: {words}" for words in report.headline.warnings]
    for heading, answer in report.headline.answers:
        lines += [heading, f"  {answer}"]
    if report.path is not None and report.path.features:
        lines.append("Features compared")
        for one in report.path.features:
            accuracy = f"{percent(one.accuracy, 2)} ± {percent(one.standard_error, 2)}"
            lines.append(
                f"  {one.name}: held-out accuracy {accuracy} ({loss_name(one.loss)}, λ = {short(one.reg)})"
            )
        lines += [f"  {words}" for words in report.path.feature_tests]
    known = [k for k, share in enumerate(report.headline.recalls) if share.value is not None]
    known.sort(key=lambda k: report.headline.recalls[k].value or 0.0)
    lines.append("Lowest recall")
    for k in known[:_MOST]:
        share = report.headline.recalls[k]
        lines.append(f"  {report.classes[k]}: {percent(share.value or 0.0)} of {pluralize(share.n, 'sample')}")
    if report.confusion.pairs:
        lines.append("Most frequent confusions")
        for a, b, n, back in report.confusion.pairs[:_MOST]:
            lines.append(f"  {report.classes[a]} predicted as {report.classes[b]}: {n:,} (reverse: {back:,})")
    return "\n".join(lines)
