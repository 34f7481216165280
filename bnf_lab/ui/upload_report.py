"""Draws the row-by-row report of an import as markup. Knows reports; no component, no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from bnf_lab.ui import texts
from bnf_lab.ui.markup import fill, joined

MAX_REFUSED_SHOWN = 200


def draw_report(report: Any, *, is_stored: bool) -> Markup:
    """Returns the report: rows taken, rows refused with reason, warnings.

    Args:
        report: An `ImportReport`.
        is_stored: Whether the judgements of the rows taken are in the workspace now.
    """
    n_preferred = sum(j.is_preferred for j in report.judgements)
    return fill(
        '<section class="lab-report"><h3>{file}</h3>{headline}{numbers}{how}{warnings}{refused}</section>',
        file=report.file,
        headline=_headline(report, is_stored),
        numbers=_numbers((
            (f"{report.taken:,}", f"of {report.n_rows:,} rows taken", ""),
            (f"{len(report.refused):,}", "rows refused", "bad" if report.refused else ""),
            (f"{n_preferred:,}", "preferred answers", "preferred"),
            (f"{len(report.judgements) - n_preferred:,}", "dispreferred answers", "dispreferred"),
        )) if not report.needs_mapping else "",
        how=fill('<p class="lab-small">{}</p>', report.how) if report.how else "",
        warnings=_warnings(report.warnings),
        refused=_refused(report.refused),
    )


def draw_samples(report: Any) -> Markup:
    """Returns the first rows as a small table, for choosing columns."""
    head = joined(fill("<th>{}</th>", name) for name in report.columns)
    rows = joined(
        fill("<tr>{}</tr>", joined(fill("<td>{}</td>", row.get(name, "")) for name in report.columns))
        for row in report.sample_rows
    )
    return fill('<div class="lab-scroll"><table class="lab-table"><thead><tr>{}</tr></thead>'
                "<tbody>{}</tbody></table></div>", head, rows)


def draw_split(ratings: Sequence[float], threshold: float) -> Markup:
    """Returns how many answers a threshold makes preferred and dispreferred."""
    n_preferred = sum(rating >= threshold for rating in ratings)
    return _numbers((
        (f"{n_preferred:,}", f"preferred (rated {threshold:g} or more)", "preferred"),
        (f"{len(ratings) - n_preferred:,}", f"dispreferred (below {threshold:g})", "dispreferred"),
    ))


def _headline(report: Any, is_stored: bool) -> Markup:
    if is_stored:
        schema = texts.REPORT_STORED.format(schema=report.schema)
        return fill('<p class="lab-dot ok">{}</p>', schema)
    words = texts.REPORT_MAPPING if report.needs_mapping else texts.REPORT_NOTHING
    return fill('<p class="lab-dot {}">{}</p>', "wait" if report.needs_mapping or report.taken else "bad",
                texts.REPORT_RATINGS if report.taken else words)


def _numbers(facts: Sequence[tuple[str, str, str]]) -> Markup:
    cells = joined(fill('<div class="lab-number {}"><b>{}</b><span>{}</span></div>', kind, n, what)
                   for n, what, kind in facts)
    return fill('<div class="lab-numbers">{}</div>', cells)


def _warnings(warnings: Sequence[str]) -> Markup:
    if not warnings:
        return Markup("")
    items = joined(fill("<li>{}</li>", warning) for warning in warnings)
    return fill('<div class="lab-warnings"><h4>Worth knowing</h4><ul>{}</ul></div>', items)


def _refused(refused: Sequence[Any]) -> Markup:
    if not refused:
        return Markup("")
    rows = joined(
        fill("<tr><td>{:,}</td><td>{}</td><td>{}</td></tr>", r.row, r.column or "", r.reason)
        for r in refused[:MAX_REFUSED_SHOWN]
    )
    more = len(refused) - MAX_REFUSED_SHOWN
    rest = fill('<p class="lab-small">… and {:,} more.</p>', more) if more > 0 else ""
    return fill(
        '<details class="lab-refused" {open}><summary>{n:,} refused</summary><div class="lab-scroll">'
        '<table class="lab-table"><thead><tr><th>Row</th><th>Column</th><th>Reason and remedy</th></tr></thead>'
        "<tbody>{rows}</tbody></table></div>{rest}</details>",
        open=Markup("open") if len(refused) <= 20 else "", n=len(refused), rows=rows, rest=rest,
    )
