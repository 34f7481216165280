"""Prodigy's JSON lines: an option chosen, or one answer accepted or rejected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Verdict
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.labels import Labels
from bnf_lab.data.layouts.plan import Plan, Wishes, gather, reader
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.layouts.singles import find_answer
from bnf_lab.data.readers import read_labelled, read_pair, read_ranked
from bnf_lab.data.survey import Survey

_SOURCE = "https://prodi.gy/docs/api-interfaces"
_VERDICTS = {"accept": Verdict.PREFERRED, "reject": Verdict.DISPREFERRED}
IGNORED = "the annotator answered {}, so nothing is chosen. Leave it out."


def recognise_prodigy(seen: Survey, wishes: Wishes) -> Plan | None:
    """Tasks with `_task_hash` and what the annotator answered."""
    if not seen.has("_task_hash", "answer") and not seen.has("task_hash", "answer"):
        return None
    return _plan_options(seen) if seen.has("options", "accept") else _plan_binary(seen)


def _plan_binary(seen: Survey) -> Plan | None:
    columns = find_answer(seen, "answer")
    if columns is None:
        return None
    answer = seen.spelt("answer")
    columns["label"] = answer
    read = reader(read_labelled, columns)

    def read_row(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        _check(values.get(answer), tuple(_VERDICTS), answer)
        return read(values, reading)

    counts = {v: n for v, n in (seen.columns["answer"].values or {}).items() if v in _VERDICTS}
    return Plan(
        "Prodigy: accepted and rejected answers",
        read_row,
        frozenset(columns.values()),
        seen.facts(columns["response"]).n_filled,
        column=answer,
        labels=_VERDICTS,
        how=Labels(_VERDICTS, counts).how,
        explained=frozenset(seen.names),
        source=_SOURCE,
    )


def _check(value: Any, accepted: tuple[str, ...], column: str) -> None:
    if value not in accepted:
        raise RowProblem(IGNORED.format(shown(value)), column, "unjudged")


def _plan_options(seen: Survey) -> Plan | None:
    prompt = find_prompt(seen, frozenset({"answer", "options"}))
    if "prompt" not in prompt:
        return None
    options, accept, answer = (seen.spelt(name) for name in ("options", "accept", "answer"))

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        _check(values.get(answer), ("accept",), answer)
        listed, chosen = values.get(options), values.get(accept)
        if not isinstance(listed, list) or not all(isinstance(item, dict) and "text" in item for item in listed):
            raise RowProblem(f"options with texts are needed, found {shown(listed)}.", options)
        accepted = [str(name) for name in chosen] if isinstance(chosen, list) else []
        better = [item["text"] for item in listed if str(item.get("id")) in accepted]
        worse = [item["text"] for item in listed if str(item.get("id")) not in accepted]
        if not better or not worse:
            raise RowProblem(IGNORED.format("for all or none of the options"), accept, "tie")
        parts, names = dict(gather(values, prompt).values), {**prompt, "response": options, "rank": accept}
        if len(better) == len(worse) == 1:
            parts |= {"preferred": better[0], "dispreferred": worse[0]}
            return (read_pair(Parts(parts, {**prompt, "preferred": options, "dispreferred": options}), reading),)
        parts |= {"response": [*better, *worse], "rank": [*[1] * len(better), *[2] * len(worse)]}
        return (read_ranked(Parts(parts, names), reading),)

    return Plan(
        "Prodigy: chosen options",
        read,
        frozenset((*prompt.values(), options, accept, answer)),
        seen.columns["options"].n_filled,
        column=accept,
        explained=frozenset(seen.names),
        source=_SOURCE,
    )
