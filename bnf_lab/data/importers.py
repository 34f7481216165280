"""Files and hub data sets -> judgements with a row-by-row report.

The door of the import rooms. A layout is recognised by content and named; good rows of a partly bad table are taken,
every other row is a refusal with its number, reason and remedy. What is not clear is asked, never guessed. Only a table
that can be read at all gives a report: anything else raises `ImportRefused`. This room must not know the store, models
or pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bnf_lab.core.errors import ImportRefused, clipped, shown
from bnf_lab.core.judgements import Source
from bnf_lab.data.described import DescribedTable, find_description
from bnf_lab.data.drafts import Reading
from bnf_lab.data.embedded import DecodedTable
from bnf_lab.data.findings import Judged, build_warnings, refuse_emptied
from bnf_lab.data.formats.hub import open_hub_table
from bnf_lab.data.formats.rows import Limits, Refusal, Row, RowProblem, SeveralTables, Table, build_refusal, file_label
from bnf_lab.data.formats.tables import open_table
from bnf_lab.data.layouts.catalogue import Found, find_layouts, list_layouts
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.layouts.prompts import add_to_prompt
from bnf_lab.data.leftovers import Leftovers
from bnf_lab.data.mapping import ImportChoices, list_places, map_columns
from bnf_lab.data.ratings import RatingRule
from bnf_lab.data.readers import CONTRADICTION
from bnf_lab.data.report import CountTokens, ImportReport, Option, Question
from bnf_lab.data.survey import TRANSCRIPTS, Survey, survey
from bnf_lab.data.taking import Intake, take_rows

_N_PREVIEW = 3


@dataclass(frozen=True)
class ImportOptions:
    """How an import is done, apart from what the person says about the file.

    Attributes:
        rule: How ratings become verdicts and weights, where the choices do not say it.
        source: Where the judgements come from.
        count_tokens: Counts the tokens of prompt and response of judgements, for the warning on truncation.
        max_tokens: Where a sequence is cut.
        limits: How much one import may bring.
    """

    rule: RatingRule = field(default_factory=RatingRule)
    source: Source = Source.UPLOAD
    count_tokens: CountTokens | None = None
    max_tokens: int = 512
    limits: Limits = field(default_factory=Limits)


def import_file(
    path: Path | str,
    *,
    name: str | None = None,
    choices: ImportChoices | None = None,
    threshold: float | None = None,
    **options: Any,
) -> ImportReport:
    """Reads a JSON, JSON lines, CSV (these also .gz), Excel or Parquet file, with a `dataset_info.json` beside it.

    Args:
        path: The file.
        name: What the person calls it; the file's own name by default.
        choices: What the person says about it, where something was not recognised or is not clear.
        threshold: Rating from which an answer is preferred, whatever rule or choices say.
        options: See `ImportOptions`: rule, source, count_tokens, max_tokens, limits.

    Returns:
        The report; its judgements are empty while it asks something (`report.questions`).

    Raises:
        ImportRefused: If the file cannot be read as a table, exceeds a limit of the file, or has no row; or if a choice
            or the threshold cannot be used.
    """
    wishes, label = choices or ImportChoices(), file_label(name or Path(path).name)
    how = _decide_ratings(ImportOptions(**options), wishes, threshold)
    try:
        table = open_table(Path(path), label, how.limits, wishes.part or None)
    except SeveralTables as several:
        return _ask_which_table(label, several)
    description = None if wishes.columns else find_description(Path(path))
    if description:
        table = DescribedTable(table, description)
    return _import(_Job(table, label, wishes, how))


def import_hub(
    dataset_id: str,
    *,
    config: str | None = None,
    split: str = "train",
    choices: ImportChoices | None = None,
    threshold: float | None = None,
    **options: Any,
) -> ImportReport:
    """Reads a public data set of the hub; `split` may be a part such as "train[:2000]". See `import_file`.

    Raises:
        ImportRefused: If the hub cannot be reached, has no such data set, or its rows exceed a limit.
    """
    wishes = choices or ImportChoices()
    how = _decide_ratings(ImportOptions(**options), wishes, threshold)
    table, label = open_hub_table(dataset_id, config, split, how.limits)
    return _import(_Job(table, label, wishes, how))


def _decide_ratings(options: ImportOptions, choices: ImportChoices, threshold: float | None) -> ImportOptions:
    """Puts what was said about ratings in place of the rule: in the choices, and above all as a threshold."""
    rule = choices.ratings or options.rule
    return replace(options, rule=rule if threshold is None else replace(rule, threshold=threshold))


@dataclass(frozen=True)
class _Job:
    table: Table
    label: str
    choices: ImportChoices
    options: ImportOptions

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.choices.decides, {k: v for k, v in self.choices.labels.items() if v})


def _import(job: _Job) -> ImportReport:
    seen = survey(job.table)
    if not seen.n_rows:
        raise ImportRefused(f"{job.label}: it has no rows. Each row is one judged answer or one pair of answers.")
    report = _recognise(job, seen)
    layouts = [Option(f.layout.key, f.plan.name) for f in list_layouts(seen, job.wishes) if f.layout.key != report.key]
    return replace(report, layouts=tuple(layouts), places=list_places(row.values for row in seen.sample_values))


def _recognise(job: _Job, seen: Survey) -> ImportReport:
    if job.choices.columns is not None:
        sample = (row.values for row in job.table if isinstance(row, Row))
        return _read(job, seen, map_columns(job.choices, seen, sample, job.label), "")
    found = find_layouts(seen, job.wishes, job.choices.layout)
    if not found:
        job, seen = _decode(job, seen)
        found = find_layouts(seen, job.wishes, job.choices.layout)
    if not found:
        return _ask_for_mapping(job, seen)
    if len(found) > 1:
        return _read_clearest(job, seen, found)
    return _read(job, seen, found[0].plan, found[0].layout.key)


def _decode(job: _Job, seen: Survey) -> tuple[_Job, Survey]:
    """Returns the table with the lists that cells spell, where it says nothing without them, and a look over it."""
    columns = {c.name for c in seen.columns.values() if c.n_filled and 2 * c.n_bracketed > c.n_filled}
    if not columns:
        return job, seen
    decoded = replace(job, table=DecodedTable(job.table, columns))
    return decoded, survey(decoded.table)


def _read_clearest(job: _Job, seen: Survey, found: list[Found]) -> ImportReport:
    """Takes the first of several layouts where all say the same of the first rows; else asks, with previews."""
    previews = [_preview(job, seen, f.plan) for f in found]
    if all(preview == previews[0] for preview in previews):
        return _read(job, seen, found[0].plan, found[0].layout.key)
    options = tuple(
        Option(f.layout.key, f.plan.name, tuple(preview[:_N_PREVIEW]))
        for f, preview in zip(found, previews, strict=True)
    )
    names = " or ".join(f.plan.name for f in found)
    question = Question(
        "layout", f"{job.label}: the columns can be read as {names}. Choose how they are meant.", options
    )
    return _asking(job, seen, question, layout=None)


def _preview(job: _Job, seen: Survey, plan: Plan) -> list[str]:
    """Returns what the first rows would become, as short texts."""
    intake = _take(job, seen, plan, _reading(job, seen, plan), seen.sample_values)[0]
    intake.settle(job.options.rule)
    return [f"{j.verdict}: {shown(j.response, 80)}" for j in intake.judgements]


def _take(
    job: _Job, seen: Survey, plan: Plan, reading: Reading, rows: Iterable[Row | Refusal]
) -> tuple[Intake, Leftovers]:
    intake, left = Intake(job.options.source), Leftovers(seen, plan, job.choices.leave_out)
    try:
        take_rows(rows, plan, reading, left, intake, job.options.limits)
    except ImportRefused as refused:
        raise ImportRefused(f"{job.label}: {refused}") from refused
    return intake, left


def _reading(job: _Job, seen: Survey, plan: Plan) -> Reading:
    facts = seen.columns.values()
    return Reading(
        job.options.limits.field_chars,
        transcripts=frozenset(c.name for c in facts if c.is_mostly(TRANSCRIPTS)),
        spoken=frozenset(c.name for c in facts if c.is_mostly({"spoken"})),
        conversations=frozenset(c.name for c in facts if c.is_mostly({"embedded"})),
        decides=job.choices.decides,
        labels=dict(plan.labels),
        turns_round=job.choices.turn_round,
    )


def _read(job: _Job, seen: Survey, plan: Plan, key: str) -> ImportReport:
    if plan.question:
        options = tuple(Option(value, f"{value} ({n:,})") for value, n in plan.values.items())
        question = Question("labels", f"{job.label}: {plan.question}", options, plan.sides)
        return replace(_asking(job, seen, question, layout=plan.name), key=key)
    plan = _with_further_columns(job, seen, plan)
    reading = _reading(job, seen, plan)
    intake, left = _take(job, seen, plan, reading, job.table)
    is_promptless = not intake.n_answers and "promptless" in intake.kinds
    unexplained = left.watched if is_promptless else left.unexplained()
    if unexplained:
        names = ", ".join(shown(name, 40) for name in unexplained)
        text = (
            f"{job.label}: {names} {'holds' if len(unexplained) == 1 else 'hold'} text on most rows, and no part of it "
            "would be used. Say whether it belongs to the prompt, which part it plays (map the columns), or leave it "
            "out."
        )
        question = Question("column", text, tuple(Option(name, name) for name in unexplained))
        return replace(_asking(job, seen, question, layout=plan.name), key=key, unused=left.unused())
    return _report(job, seen, plan, key, reading, intake, left)


def _with_further_columns(job: _Job, seen: Survey, plan: Plan) -> Plan:
    wanted = job.choices.in_prompt
    if not wanted:
        return plan
    unknown = [name for name in wanted if name not in seen.names]
    if unknown or plan.read_table:
        found = f"column {shown(unknown[0], 40)} is not in it" if unknown else f"{plan.name} are read as a whole"
        raise ImportRefused(f"{job.label}: {found}, so no column of it can be added to the prompt. Leave it out.")
    return add_to_prompt(plan, wanted)


def _report(
    job: _Job, seen: Survey, plan: Plan, key: str, reading: Reading, intake: Intake, left: Leftovers
) -> ImportReport:
    decided = intake.settle(job.options.rule)
    emptied = refuse_emptied(decided, plan.column)
    refused = tuple(sorted((*intake.refused, *emptied), key=lambda refusal: refusal.row))
    judgements = tuple(intake.judgements)
    warnings = build_warnings(
        Judged(judgements, intake.rows),
        decided,
        intake.kinds,
        reading.said,
        job.options.count_tokens,
        job.options.max_tokens,
    )
    rated = next((d for d in decided if not d.is_ranked), None)
    return ImportReport(
        job.label,
        plan.name,
        seen.n_rows,
        intake.n_taken,
        judgements,
        refused,
        warnings,
        seen.names,
        seen.sample_rows,
        ratings=rated.ratings if rated else (),
        threshold=rated.threshold if rated else None,
        how="; ".join(found.how for found in decided) or None,
        key=key,
        kind=job.table.kind,
        notes=(*job.table.notes, *([plan.how] if plan.how else [])),
        unused=left.unused(),
        decides=plan.decides,
        source=plan.source,
        n_contradictions=len(reading.said.get(CONTRADICTION, ())),
    )


def _asking(job: _Job, seen: Survey, question: Question, *, layout: str | None) -> ImportReport:
    refused = tuple(row for row in job.table if isinstance(row, Refusal))
    return ImportReport(
        job.label,
        layout,
        seen.n_rows,
        0,
        (),
        refused,
        (clipped(question.text),),
        seen.names,
        seen.sample_rows,
        questions=(question,),
        needs_mapping=question.kind in ("columns", "column") and bool(seen.names),
        kind=job.table.kind,
        notes=job.table.notes,
    )


def _ask_for_mapping(job: _Job, seen: Survey) -> ImportReport:
    found = ", ".join(shown(name, 30) for name in seen.names[:6])
    text = (
        f"{job.label}: the columns are not recognised (found {found}). Accepted are for example prompt, chosen, "
        "rejected or prompt, completion, label or prompt, completion, rating. Say which column is which; if these "
        "are no names, add a first line that names the columns."
    )
    asking = _asking(job, seen, Question("columns", text), layout=None)
    if seen.names:
        return asking
    void = RowProblem("it has no columns. Each row is one judged answer or one pair of answers.")
    refused = (row if isinstance(row, Refusal) else build_refusal(row.number, row.place, void) for row in job.table)
    warning = f"{job.label}: no row could be read; the refused rows say why."
    return replace(asking, questions=(), refused=tuple(refused), warnings=(warning,))


def _ask_which_table(label: str, several: SeveralTables) -> ImportReport:
    question = Question("part", str(several), tuple(Option(part, part) for part in several.parts))
    return ImportReport(label, None, 0, 0, (), (), (str(several),), (), (), questions=(question,))
