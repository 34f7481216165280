"""Label Studio: tasks as JSON, or as JSON_MIN and CSV, with pairwise, ranker, rating and choice controls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.data.conversations import check_prompt
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts, read_answer, read_prompt
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.layouts.choices import find_sides
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.layouts.singles import ANSWERED
from bnf_lab.data.layouts.votes import NOBODY, ORDERED_APART, judge_alone, vote
from bnf_lab.data.readers import read_pair, read_ranked
from bnf_lab.data.survey import Column, Survey, plain_name, survey, words

_SOURCE = "https://labelstud.io/guide/export"
_NAME = "Label Studio: pairwise and ranked answers"
_CONTROLS = ("selected", "ranker", "rating", "choices")
_CELL = re.compile(r'\[\{"(?:selected|ranker|rating|choices)"')
_BESIDE = frozenset(words("id annotator annotation_id created_at updated_at lead_time agreement"))
_BODIES = ("body", "text", "html", "content", "title")

Result = tuple[str, Any, tuple[str, ...]]
"""Which control, what was given, and the names of the objects that it is about."""


def recognise_label_studio(seen: Survey, wishes: Wishes) -> Plan | None:
    """Tasks with `data` and `annotations`."""
    if not seen.has("data", "annotations") or not seen.columns["annotations"].count({"objects", "list"}):
        return None

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        data, annotations = values.get("data"), values.get("annotations")
        if not isinstance(data, dict) or not isinstance(annotations, list):
            raise RowProblem("a task has 'data' and a list of 'annotations'. Export it as JSON again.", "annotations")
        return (_read_task(data, list(_list_results(annotations)), wishes, reading),)

    return Plan(
        _NAME,
        read,
        frozenset({seen.spelt("data"), seen.spelt("annotations")}),
        seen.columns["annotations"].count({"objects"}),
        explained=frozenset(seen.names),
        source=_SOURCE,
        column="annotations",
    )


def recognise_small_label_studio(seen: Survey, wishes: Wishes) -> Plan | None:
    """JSON_MIN and CSV: the data in columns of their own, and what a control gave in a cell."""
    given = [c.name for c in seen.columns.values() if _is_control(c)]
    if not given or not seen.has("annotation_id"):
        return None

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        data = {n: v for n, v in values.items() if n not in given and plain_name(n) not in _BESIDE}
        results = [
            result for name in given for item in _cell(values.get(name), name) for result in _controls_of(item, ())
        ]
        return (_read_task(data, results, wishes, reading),)

    return Plan(
        _NAME,
        read,
        frozenset(name for name in seen.names if plain_name(name) not in _BESIDE),
        seen.facts(given[0]).n_filled,
        explained=frozenset(seen.names),
        source=_SOURCE,
        column=given[0],
    )


def _is_control(column: Column) -> bool:
    if column.is_mostly({"objects"}):
        return not column.keys.keys().isdisjoint(_CONTROLS)
    return bool(column.values) and all(_CELL.match(value.replace("_", "")) for value in column.values or ())


def _cell(value: Any, column: str) -> list[Any]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowProblem("it is no JSON list of results. Export it again.", column) from error
    return value if isinstance(value, list) else []


def _list_results(annotations: Sequence[Any]) -> Iterator[Result]:
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        listed = annotation.get("result")
        for result in listed if isinstance(listed, list) else ():
            if isinstance(result, dict):
                about = result.get("to_name")
                names = tuple(name.strip() for name in about.split(",")) if isinstance(about, str) else ()
                yield from _controls_of(result.get("value"), names)


def _controls_of(value: Any, names: tuple[str, ...]) -> Iterator[Result]:
    if isinstance(value, dict):
        yield from ((control, value[control], names) for control in _CONTROLS if value.get(control) is not None)


def _read_task(data: Mapping[str, Any], results: Sequence[Result], wishes: Wishes, reading: Reading) -> Draft:
    if not results:
        raise RowProblem(NOBODY, "annotations", "unjudged")
    seen = survey([Row(1, dict(data), "")])
    by_control: dict[str, list[Result]] = {}
    for result in results:
        by_control.setdefault(result[0], []).append(result)
    if "ranker" in by_control:
        return _read_ranker(data, seen, [given for _, given, _ in by_control["ranker"]], reading)
    if "selected" in by_control:
        return _read_pairwise(data, seen, by_control["selected"], reading)
    control, found = next(iter(by_control.items()))
    given = [v[0] if isinstance(v, list) and len(v) == 1 else v for _, v, _ in found]
    return _read_alone(data, seen, given, control, wishes, reading)


def _read_pairwise(data: Mapping[str, Any], seen: Survey, results: Sequence[Result], reading: Reading) -> Draft:
    named, sides = results[0][2], find_sides(seen)
    answers = [sides.first, sides.second] if sides else []
    if len(named) == 2 and all(name in data for name in named):  # left and right in the order that people saw
        answers = list(named)
    columns = find_prompt(seen, frozenset(map(plain_name, answers)))
    if not answers or "prompt" not in columns:
        raise RowProblem(
            f"its data has the fields {shown(', '.join(seen.names), 100)}; a prompt and two answers, such as "
            "answer1 and answer2, are needed. Map the columns.",
            "data",
        )
    side = vote([str(given) for _, given, _ in results], "annotations", reading)
    if side not in ("left", "right"):
        raise RowProblem(f"found {shown(side)}; left or right is needed.", "annotations")
    better, worse = answers if side == "left" else answers[::-1]
    row = {part: data.get(name) for part, name in columns.items()}
    row |= {"preferred": data[better], "dispreferred": data[worse]}
    return read_pair(Parts(row, {**columns, "preferred": f"data.{better}", "dispreferred": f"data.{worse}"}), reading)


def _read_ranker(data: Mapping[str, Any], seen: Survey, orders: Sequence[Any], reading: Reading) -> Draft:
    lists = (v for v in data.values() if isinstance(v, list) and all(isinstance(i, dict) and "id" in i for i in v))
    items = next((found for found in lists if found), None)
    if not items:
        raise RowProblem("its data has no list of answers with ids, which a ranking refers to.", "data")
    texts = {str(item["id"]): next((item[k] for k in _BODIES if item.get(k)), None) for item in items}
    listed = [ids for order in orders if (ids := _ranked_ids(order, texts))]
    if len({tuple(ids) for ids in listed}) > 1:
        reading.say(ORDERED_APART)
    places: dict[str, list[int]] = {}
    for ids in listed:
        for place, name in enumerate(ids, start=1):
            places.setdefault(name, []).append(place)
    if len(places) < 2:
        raise RowProblem(
            "fewer than two answers are ranked, so nothing is better. Rank two, or leave it out.", "annotations"
        )
    columns = find_prompt(seen)
    row = {part: data.get(name) for part, name in columns.items()}
    row |= {"response": [texts[name] for name in places], "rank": [sum(p) / len(p) for p in places.values()]}
    return read_ranked(Parts(row, {**columns, "response": "data", "rank": "annotations"}), reading)


def _ranked_ids(order: Any, known: Mapping[str, Any]) -> list[str]:
    """Returns the ids of the one list in which answers were put in order; `_` is where they lay before."""
    if isinstance(order, dict):
        named = [ids for name, ids in order.items() if name != "_" and isinstance(ids, list) and ids]
        order = named[0] if len(named) == 1 else order.get("_") if not named else []
    return [str(name) for name in order if str(name) in known] if isinstance(order, list) else []


def _read_alone(
    data: Mapping[str, Any], seen: Survey, given: Sequence[Any], control: str, wishes: Wishes, reading: Reading
) -> Draft:
    answer = seen.find(*ANSWERED)
    columns = find_prompt(seen, frozenset({answer} if answer else ()))
    if answer is None or "prompt" not in columns:
        raise RowProblem("its data holds no prompt and answer by any known name. Map the columns.", "data")
    row = {part: data.get(name) for part, name in columns.items()}
    prompt = check_prompt(read_prompt(Parts(row, columns), reading), columns["prompt"])
    _, text = read_answer(data.get(seen.spelt(answer)), seen.spelt(answer), reading)
    draft = judge_alone(prompt, text, given, control, wishes.labels, reading)
    if draft is None:
        raise RowProblem(f"found {shown(given)}, neither ratings nor labels of a known vocabulary.", "annotations")
    return draft
