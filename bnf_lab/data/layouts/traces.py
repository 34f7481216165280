"""What observation tools keep of an application's calls, with the scores that people gave: Langfuse and LangSmith."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.data.conversations import check_prompt, find_messages, is_blank
from bnf_lab.data.drafts import Draft, Prompt, Reading
from bnf_lab.data.fields import Parts, read_answer, read_prompt
from bnf_lab.data.formats.rows import Row, RowProblem
from bnf_lab.data.layouts.plan import Plan, Wishes
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.layouts.votes import judge_alone
from bnf_lab.data.survey import Survey, survey

NO_SCORE = "it has no score called {}. Leave it out, or choose another score to decide."
_SAID = ("output", "answer", "response", "content", "text", "completion", "message", "result")


def recognise_langfuse(seen: Survey, wishes: Wishes) -> Plan | None:
    """Traces or observations with `input`, `output` and a list of `scores`."""
    if not seen.has("input", "output", "scores") or not {"name", "value"} <= seen.columns["scores"].keys.keys():
        return None
    columns = tuple(seen.spelt(name) for name in ("input", "output", "scores"))
    return _plan(
        seen, wishes, "Langfuse: traces with scores", columns, "https://langfuse.com/docs/api-and-data-platform"
    )


def recognise_langsmith(seen: Survey, wishes: Wishes) -> Plan | None:
    """Runs with `inputs`, `outputs` and `feedback_stats` or a list of `feedback`."""
    feedback = seen.find("feedback_stats", "feedback", kinds={"object", "objects"})
    if not seen.has("inputs", "outputs") or feedback is None:
        return None
    columns = tuple(seen.spelt(name) for name in ("inputs", "outputs", feedback))
    return _plan(seen, wishes, "LangSmith: runs with feedback", columns, "https://docs.smith.langchain.com/")


def _plan(seen: Survey, wishes: Wishes, name: str, columns: tuple[str, ...], source: str) -> Plan | None:
    asked, said, scored = columns
    names = list(dict.fromkeys(name for row in seen.sample_values for name in _scores(row.values.get(scored))))
    if not names:
        return None
    chosen = wishes.decides if wishes.decides else names[0]

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        given = _scores(values.get(scored)).get(chosen)
        if given is None:
            raise RowProblem(NO_SCORE.format(shown(chosen, 40)), scored, "unjudged")
        prompt = check_prompt(_read_input(values.get(asked), asked, reading), asked)
        before, answer = read_answer(_find_output(values.get(said)), said, reading)
        if before:
            raise RowProblem("the output is a whole conversation, where an answer is needed.", said)
        draft = judge_alone(prompt, answer, [given], chosen, wishes.labels, reading)
        if draft is None:
            raise RowProblem(f"found {shown(given)}, neither a rating nor a label of a known vocabulary.", scored)
        return (draft,)

    return Plan(
        name,
        read,
        frozenset(columns),
        seen.facts(scored).n_filled,
        column=scored,
        decides=(chosen, *(n for n in names if n != chosen)),
        explained=frozenset(seen.names),
        source=source,
    )


def _scores(value: Any) -> dict[str, Any]:
    """Returns score -> value: of objects with name (or key) and value (or score), or of {score: {"avg": ...}}."""
    if isinstance(value, dict):
        return {
            str(name): inner.get("avg") if isinstance(inner, dict) else inner
            for name, inner in value.items()
            if not is_blank(inner)
        }
    found = {}
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            name, number = item.get("name", item.get("key")), item.get("value", item.get("score"))
            if name is not None and number is not None:
                found[str(name)] = number
    return found


def _read_input(value: Any, column: str, reading: Reading) -> Prompt:
    if isinstance(value, dict) and find_messages(value) is None:
        inner = survey([Row(1, value, "")])
        columns = find_prompt(inner)
        if "prompt" not in columns:
            raise RowProblem(f"found {shown(value)}; a question or a list of messages is needed.", column)
        return read_prompt(Parts({part: value.get(name) for part, name in columns.items()}, columns), reading)
    return read_prompt(Parts({"prompt": value}, {"prompt": column}), reading)


def _find_output(value: Any) -> Any:
    """Returns the text or message that a call gave, out of its usual wrappings."""
    for _ in range(6):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, dict) and find_messages(value) is None:
            keys = [key for key in (*_SAID, "generations", "choices") if not is_blank(value.get(key))]
            if not keys:
                return value
            value = value[keys[0]]
        else:
            return value
    return value
