"""Files and hub data sets -> judgements with a row-by-row report, and judgements -> TRL rows.

The door of the import rooms. Good rows of a partly bad table are taken, every other row is a refusal with its number,
reason and remedy, and only a table that can be read at all gives a report: anything else raises `ImportRefused`.
This room must not know the store, models or pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bnf_lab.errors import ImportRefused, LabError, clipped, shown
from bnf_lab.hub import open_hub_table
from bnf_lab.preferences import Judgement, Message, Source, build_pair, group_units
from bnf_lab.ratings import RatingRule, Taken, decide
from bnf_lab.readers import Draft
from bnf_lab.reports import CountTokens, ImportReport, build_warnings, refuse_emptied, warn_of_common_beginnings
from bnf_lab.rows import Limits, Refusal, RowProblem, Table, build_refusal, file_label
from bnf_lab.schemas import IMPLICIT_PROMPT, ColumnMapping, Schema, Survey, map_columns, recognise, survey
from bnf_lab.tables import open_table

__all__ = [
    "ColumnMapping", "ImportReport", "Limits", "RatingRule", "Refusal", "import_file", "import_hub", "write_trl_rows",
]

_KINDS = ("pairs", "unpaired")
_ANSWERS_PER_ROW = 2  # of a pair; rows with more leave room for fewer rows


def import_file(
    path: Path | str, *, name: str | None = None, mapping: ColumnMapping | None = None, threshold: float | None = None,
    rule: RatingRule | None = None, source: Source = Source.UPLOAD, count_tokens: CountTokens | None = None,
    max_tokens: int = 512, limits: Limits | None = None,
) -> ImportReport:
    """Reads a JSON, JSON lines, CSV or Parquet file (the first three also .gz).

    Args:
        path: The file.
        name: What the person calls it; the file's own name by default.
        mapping: The person's choice of columns, where they were not recognised.
        threshold: Rating from which an answer is preferred, in place of the rule's.
        rule: How ratings become verdicts and weights; by default one threshold and equal weights.
        source: Where the judgements come from.
        count_tokens: Counts the tokens of prompt and response of judgements, for the warning on truncation.
        max_tokens: Where a sequence is cut.
        limits: How much one import may bring.

    Raises:
        ImportRefused: If the file cannot be read as a table, exceeds a limit of the file, or has no row; or if the
            threshold cannot be used.
    """
    limits, label = limits or Limits(), file_label(name or Path(path).name)
    table = open_table(Path(path), label, limits)
    rule = _with_threshold(rule, threshold)
    return _import(_Job(table, label, limits, mapping, rule, source, count_tokens, max_tokens))


def import_hub(
    dataset_id: str, *, config: str | None = None, split: str = "train", mapping: ColumnMapping | None = None,
    threshold: float | None = None, rule: RatingRule | None = None, source: Source = Source.UPLOAD,
    count_tokens: CountTokens | None = None, max_tokens: int = 512, limits: Limits | None = None,
) -> ImportReport:
    """Reads a public data set of the hub; `split` may be a part such as "train[:2000]". See `import_file`.

    Raises:
        ImportRefused: If the hub cannot be reached, has no such data set, or its rows exceed a limit.
    """
    limits = limits or Limits()
    table, label = open_hub_table(dataset_id, config, split, limits)
    rule = _with_threshold(rule, threshold)
    return _import(_Job(table, label, limits, mapping, rule, source, count_tokens, max_tokens))


def _with_threshold(rule: RatingRule | None, threshold: float | None) -> RatingRule:
    rule = rule or RatingRule()
    return rule if threshold is None else replace(rule, threshold=threshold)


@dataclass(frozen=True)
class _Job:
    table: Table
    label: str
    limits: Limits
    mapping: ColumnMapping | None
    rule: RatingRule
    source: Source
    count_tokens: CountTokens | None
    max_tokens: int


@dataclass
class _Drafts:
    """What reading the rows gave so far."""

    read: list[tuple[int, Draft]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    kinds: dict[str, list[int]] = field(default_factory=dict)


def _import(job: _Job) -> ImportReport:
    seen = survey(job.table)
    if not seen.n_rows:
        raise ImportRefused(f"{job.label}: it has no rows. Each row is one judged answer or one pair of answers.")
    schema = map_columns(job.mapping, seen.columns, job.label) if job.mapping else recognise(seen)
    if schema is None:
        return _ask_for_mapping(job, seen)
    drafts = _read_drafts(job, schema)
    columns = schema.columns
    decided = decide(drafts.read, job.rule, is_ranked=columns.rank is not None)
    judgements = tuple(judgement for row in decided.taken for judgement in _judge(row, job.source))
    emptied = refuse_emptied(decided, columns.rank or columns.rating)
    refused = tuple(sorted((*drafts.refused, *emptied), key=lambda refusal: refusal.row))
    warnings = build_warnings(decided, drafts.kinds, judgements, job.count_tokens, job.max_tokens)
    if schema.name == IMPLICIT_PROMPT:
        warnings = (*warn_of_common_beginnings(decided.taken), *warnings)
    return ImportReport(
        job.label, schema.name, seen.n_rows, len(decided.taken), judgements, refused, warnings, seen.columns,
        seen.sample_rows, ratings=decided.ratings, threshold=decided.threshold, how=decided.how)


def _ask_for_mapping(job: _Job, seen: Survey) -> ImportReport:
    refused = tuple(row for row in job.table if isinstance(row, Refusal))
    found = ", ".join(shown(name, 30) for name in seen.columns[:6])
    warning = (f"{job.label}: the columns are not recognised (found {found}). Accepted are for example prompt, chosen, "
               "rejected or prompt, completion, label or prompt, completion, rating. Say which column is which; if"
               " these "
               "are no names, add a first line that names the columns.")
    if not seen.columns:
        warning = f"{job.label}: no row could be read; the refused rows say why."
    return ImportReport(
        job.label, None, seen.n_rows, 0, (), refused, (clipped(warning),), seen.columns, seen.sample_rows,
        needs_mapping=bool(seen.columns))


def _read_drafts(job: _Job, schema: Schema) -> _Drafts:
    drafts, n_answers = _Drafts(), 0
    prompts: dict[tuple[Message, ...], tuple[Message, ...]] = {}  # one object for a prompt that many rows share
    for row in job.table:
        if isinstance(row, Refusal):
            drafts.refused.append(row)
            continue
        try:
            draft = schema.read(row.values, schema.columns, job.limits.field_chars)
        except RowProblem as problem:
            drafts.refused.append(build_refusal(row.number, row.place, problem))
            drafts.kinds.setdefault(problem.kind, []).append(row.number)
        else:
            n_answers += len(draft.answers)
            if n_answers > _ANSWERS_PER_ROW * job.limits.rows:  # lists in a row must not get around the limit of rows
                raise ImportRefused(f"{job.label}: it has more than {_ANSWERS_PER_ROW * job.limits.rows:,} answers, the"
                                    " most that one import may bring. Split it into several files, or keep a part.")
            drafts.read.append((row.number, Draft(prompts.setdefault(draft.prompt, draft.prompt), draft.answers)))
    return drafts


def _judge(row: Taken, source: Source) -> tuple[Judgement, ...]:
    if row.is_pair:
        (preferred, *_), (dispreferred, *_) = row.answers
        return build_pair(row.prompt, preferred, dispreferred, source=source)
    return tuple(Judgement(row.prompt, text, verdict, weight, source=source) for text, verdict, weight in row.answers)


def write_trl_rows(judgements: Iterable[Judgement], kind: str = "pairs") -> Iterator[str]:
    """Yields the lines of a JSON lines file in a conversational TRL schema, each with its line end.

    Args:
        judgements: What to write.
        kind: "pairs" writes every complete pair (prompt, chosen, rejected) and leaves out responses judged alone;
            "unpaired" writes every judgement, members of pairs too (prompt, completion, label).

    Raises:
        LabError: If the kind is none of these.
    """
    if kind not in _KINDS:
        raise LabError(f"export: the kind is {shown(kind)}; accepted are {' and '.join(_KINDS)}.")
    for unit in group_units(judgements):
        if kind == "unpaired":
            yield from (_line(_unpaired(judgement)) for judgement in unit)
        elif len(unit) == 2:
            yield _line({"prompt": _turns(unit[0].prompt), "chosen": _reply(unit[0]), "rejected": _reply(unit[1])})


def _unpaired(judgement: Judgement) -> dict[str, Any]:
    return {"prompt": _turns(judgement.prompt), "completion": _reply(judgement), "label": judgement.is_preferred}


def _turns(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _reply(judgement: Judgement) -> list[dict[str, str]]:
    return _turns((Message("assistant", judgement.response),))


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
