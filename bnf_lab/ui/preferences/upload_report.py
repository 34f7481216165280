"""Draws what was found in a file as markup: how it is read, the counts, what is worth knowing, what was refused.

Knows reports; no component, no store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from bnf_lab.core.errors import clipped
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import without_places
from bnf_lab.data.report import ImportReport
from bnf_lab.ui.markup import fill, joined
from bnf_lab.ui.preferences import words

MAX_REFUSED_SHOWN = 200


def draw_head(report: ImportReport) -> Markup:
    """Returns what the file is, how it is read and how many rows and verdicts that gives."""
    kind, headline = _headline(report)
    return fill(
        '<h3>{file}<span>{format}</span></h3><p class="lab-dot {kind}">{headline}</p>{numbers}{how}{unknown}',
        file=report.file,
        format=report.kind,
        kind=kind,
        headline=headline,
        numbers="" if report.questions else draw_numbers(report),
        unknown=joined(fill('<p class="lab-small">{}</p>', q.text) for q in report.questions if q.kind == "columns"),
        how=fill('<p class="lab-small">{}</p>', report.how[:1].upper() + report.how[1:] + ".") if report.how else "",
    )


def draw_mapping_begun(report: ImportReport) -> Markup:
    """Returns the head of a file whose columns are being chosen."""
    return fill(
        '<h3>{}<span>{}</span></h3><p class="lab-dot wait">{}</p>', report.file, report.kind, words.MAPPING_BEGUN
    )


def _headline(report: ImportReport) -> tuple[str, Markup]:
    if any(question.kind == "columns" for question in report.questions):
        return "wait", fill("{}", words.UNKNOWN)
    if report.questions:
        return "wait", fill("{}", words.ASKING)
    if not report.taken:
        text = words.NO_ROW_FITS.format(layout=report.layout) if report.layout and report.key else words.UNREADABLE
        return "bad", fill("{}", text)
    if not report.key:
        return "ok", fill("{}.", words.READ_BY_HAND)
    return "ok", fill("{} <b>{}</b>.", words.READ_AS, report.layout)


def draw_numbers(report: ImportReport) -> Markup:
    """Returns the counts of rows and verdicts."""
    n_refused = len(report.refused)
    facts = (
        (report.taken, f"of {counted(report.n_rows, 'row')} taken", ""),
        (n_refused, "row refused" if n_refused == 1 else "rows refused", "bad" if n_refused else ""),
        (report.n_preferred, "preferred", "preferred"),
        (report.n_dispreferred, "dispreferred", "dispreferred"),
    )
    cells = (
        fill('<div class="lab-number {}"><b>{:,}</b><span>{}</span></div>', kind, n, what) for n, what, kind in facts
    )
    return fill('<div class="lab-numbers">{}</div>', joined(cells))


def draw_details(report: ImportReport) -> Markup:
    """Returns warnings, how the file was read, columns not used, and the refused rows with reason and remedy."""
    asked = {clipped(question.text) for question in report.questions}
    how = [*report.notes]
    if report.unused:
        how.append(words.UNUSED.format(columns=", ".join(report.unused)))
    if report.source:
        how.append(words.SOURCE.format(source=report.source))
    return fill(
        "{}{}{}",
        _listed(words.WORTH_KNOWING, [text for text in report.warnings if text not in asked]),
        _listed(words.HOW_READ, how),
        draw_refused(report),
    )


def _listed(title: str, texts: Sequence[str]) -> Markup:
    items = joined(fill("<li>{}</li>", text) for text in texts)
    return fill('<div class="lab-warnings"><h4>{}</h4><ul>{}</ul></div>', title, items) if texts else Markup("")


def draw_refused(report: ImportReport) -> Markup:
    """Returns the refused rows as a table that can be folded."""
    refused = report.refused
    if not refused:
        return Markup("")
    rows = joined(
        fill("<tr><td>{:,}</td><td>{}</td><td>{}</td></tr>", r.row, r.column or "", r.reason)
        for r in refused[:MAX_REFUSED_SHOWN]
    )
    n_more = len(refused) - MAX_REFUSED_SHOWN
    return fill(
        '<details class="lab-refused" {open}><summary>{n:,} refused</summary><div class="lab-scroll">'
        '<table class="lab-table"><thead><tr><th>Row</th><th>Column</th><th>Reason and remedy</th></tr></thead>'
        "<tbody>{rows}</tbody></table></div>{rest}</details>",
        open=Markup("open") if len(refused) <= 20 else "",
        n=len(refused),
        rows=rows,
        rest=fill('<p class="lab-small">{}</p>', words.MORE_ROWS.format(n=n_more)) if n_more > 0 else "",
    )


def draw_added(report: ImportReport) -> Markup:
    """Returns that the judgements were stored, and which rows were not taken."""
    added = words.ADDED.format(judgements=counted(len(report.judgements), "judgement"))
    return fill(
        '<section class="lab-report"><h3>{}</h3><p class="lab-dot ok">{}</p>{}</section>',
        report.file,
        added,
        draw_refused(report),
    )


def draw_problem(text: str) -> Markup:
    """Returns a refusal that stays on the page until something else is chosen."""
    lines = joined((fill("{}", line) for line in without_places(text).split("\n")), "<br>")
    return fill('<div class="lab-trouble" role="alert"><b>{}</b> {}</div>', words.DID_NOT_WORK, lines)


def draw_samples(names: Sequence[str], rows: Iterable[dict[str, str]]) -> Markup:
    """Returns the first rows as a small table, for choosing columns."""
    head = joined(fill("<th>{}</th>", name) for name in names)
    body = joined(fill("<tr>{}</tr>", joined(fill("<td>{}</td>", row.get(name, "")) for name in names)) for row in rows)
    return fill(
        '<div class="lab-scroll lab-samples"><table class="lab-table"><thead><tr>{}</tr></thead><tbody>{}</tbody>'
        "</table></div>",
        head,
        body,
    )
