"""The summary of a report as plain text, for terminals and for browsers without JavaScript."""

from __future__ import annotations

from softmargin.report.records import Report
from softmargin.report.wording import loss_name, percent, short
from softmargin.text import Phrase, pluralize

__all__ = ["summary"]

_MOST = 5


def summary(report: Report) -> str:
    """Return the summary: warnings, main results, lowest recalls and most frequent confusions."""
    lines = [report.title, ""]
    lines += [Phrase("Warning: {0}", words) for words in report.headline.warnings]
    for heading, answer in report.headline.answers:
        lines += [heading, Phrase("  {0}", answer)]
    if report.path is not None and report.path.features:
        lines.append(Phrase("Features compared"))
        for one in report.path.features:
            accuracy = f"{percent(one.accuracy, 2)} ± {percent(one.standard_error, 2)}"
            values = one.name, accuracy, loss_name(one.loss), short(one.reg)
            lines.append(Phrase("  {0}: held-out accuracy {1} ({2}, λ = {3})", *values))
        lines += [Phrase("  {0}", words) for words in report.path.feature_tests]
    known = [k for k, share in enumerate(report.headline.recalls) if share.value is not None]
    known.sort(key=lambda k: report.headline.recalls[k].value or 0.0)
    lines.append(Phrase("Lowest recall"))
    for k in known[:_MOST]:
        share = report.headline.recalls[k]
        recall, samples = percent(share.value or 0.0), pluralize(share.n, "sample")
        lines.append(Phrase("  {0}: {1} of {2}", report.classes[k], recall, samples))
    if report.confusion.pairs:
        lines.append(Phrase("Most frequent confusions"))
        for a, b, n, back in report.confusion.pairs[:_MOST]:
            values = report.classes[a], report.classes[b], f"{n:,}", f"{back:,}"
            lines.append(Phrase("  {0} predicted as {1}: {2} (reverse: {3})", *values))
    return Phrase.joined("\n", lines)
