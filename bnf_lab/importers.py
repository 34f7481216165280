"""Files and hub data sets -> judgements with a row-by-row report, and judgements -> TRL rows.

The door of the import rooms. Good rows of a partly bad table are taken, every other row is a refusal with its number,
reason and remedy, and only a table that can be read at all gives a report: anything else raises `ImportRefused`.
This room must not know the store, models or pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnf_lab.errors import ImportRefused, LabError, clipped, shown
from bnf_lab.hub import open_hub_table
from bnf_lab.preferences import Judgement, Message, Source, Verdict, build_pair, group_units
from bnf_lab.readers import Draft
from bnf_lab.reports import (
    CountTokens,
    ImportReport,
    build_warnings,
    decide,
    default_threshold,
    warn_of_common_beginnings,
)
from bnf_lab.rows import Limits, Refusal, RowProblem, Table, build_refusal, file_label
from bnf_lab.schemas import IMPLICIT_PROMPT, ColumnMapping, Schema, Survey, map_columns, recognise, survey
from bnf_lab.tables import open_table

__all__ = [
    "ColumnMapping", "ImportReport", "Limits", "Refusal", "import_file", "import_hub", "write_trl_rows",
]

_KINDS = ("pairs", "unpaired")


def import_file(
    path: Path | str, *, name: str | None = None, mapping: ColumnMapping | None = None, threshold: float | None = None,
    source: Source = Source.UPLOAD, count_tokens: CountTokens | None = None, max_tokens: int = 512,
    limits: Limits | None = None,
) -> ImportReport:
    """Reads a JSON, JSON lines, CSV or Parquet file (the first three also .gz).

    Args:
        path: The file.
        name: What the person calls it; the file's own name by default.
        mapping: The person's choice of columns, where they were not recognised.
        threshold: Rating from which an answer is preferred; by default see `default_threshold`.
        source: Where the judgements come from.
        count_tokens: Counts the tokens of prompt and response of judgements, for the warning on truncation.
        max_tokens: Where a sequence is cut.
        limits: How much one import may bring.

    Raises:
        ImportRefused: If the file cannot be read as a table, exceeds a limit of the file, or has no row.
    """
    limits, label = limits or Limits(), file_label(name or Path(path).name)
    table = open_table(Path(path), label, limits)
    return _import(_Job(table, label, limits, mapping, threshold, source, count_tokens, max_tokens))


def import_hub(
    dataset_id: str, *, config: str | None = None, split: str = "train", mapping: ColumnMapping | None = None,
    threshold: float | None = None, source: Source = Source.UPLOAD, count_tokens: CountTokens | None = None,
    max_tokens: int = 512, limits: Limits | None = None,
) -> ImportReport:
    """Reads a public data set of the hub; `split` may be a part such as "train[:2000]". See `import_file`.

    Raises:
        ImportRefused: If the hub cannot be reached, has no such data set, or its rows exceed a limit.
    """
    limits = limits or Limits()
    table, label = open_hub_table(dataset_id, config, split, limits)
    return _import(_Job(table, label, limits, mapping, threshold, source, count_tokens, max_tokens))


@dataclass(frozen=True)
class _Job:
    table: Table
    label: str
    limits: Limits
    mapping: ColumnMapping | None
    threshold: float | None
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
    if job.threshold is not None and not math.isfinite(job.threshold):
        raise ImportRefused(f"{job.label}: the threshold is {job.threshold}; a finite number is needed.")
    seen = survey(job.table)
    if not seen.n_rows:
        raise ImportRefused(f"{job.label}: it has no rows. Each row is one judged answer or one pair of answers.")
    schema = map_columns(job.mapping, seen.columns, job.label) if job.mapping else recognise(seen)
    if schema is None:
        return _ask_for_mapping(job, seen)
    drafts = _read_drafts(job, schema)
    ratings = tuple(found for _, draft in drafts.read for _, found in draft.answers if not isinstance(found, Verdict))
    threshold = (default_threshold(ratings) if job.threshold is None else float(job.threshold)) if ratings else None
    taken = [decide(row, draft, threshold) for row, draft in drafts.read]
    judgements = tuple(j for row in taken for j in _judge(row.prompt, row.answers, job.source))
    warnings = build_warnings(taken, drafts.kinds, judgements, job.count_tokens, job.max_tokens)
    if schema.name == IMPLICIT_PROMPT:
        warnings = (*warn_of_common_beginnings(taken), *warnings)
    return ImportReport(
        job.label, schema.name, seen.n_rows, len(taken), judgements, tuple(drafts.refused), warnings, seen.columns,
        seen.sample_rows, ratings=ratings, threshold=threshold)


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
    drafts = _Drafts()
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
            drafts.read.append((row.number, Draft(prompts.setdefault(draft.prompt, draft.prompt), draft.answers)))
    return drafts


def _judge(
    prompt: tuple[Message, ...], answers: tuple[tuple[str, Verdict], ...], source: Source
) -> tuple[Judgement, ...]:
    if len(answers) == 2:
        (preferred, _), (dispreferred, _) = answers
        return build_pair(prompt, preferred, dispreferred, source=source)
    return tuple(Judgement(prompt, text, verdict, source=source) for text, verdict in answers)


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
