"""Public sets with a shape of their own: Summarize-from-feedback, the Arena's JSON lists, steps of solutions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bnf_lab.core.errors import shown
from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.core.numbers import counted
from bnf_lab.data.conversations import check_prompt, is_blank, read_text
from bnf_lab.data.drafts import Draft, Reading
from bnf_lab.data.fields import Parts, read_prompt
from bnf_lab.data.formats.rows import RowProblem
from bnf_lab.data.layouts.choices import judge_sides
from bnf_lab.data.layouts.plan import TRL, Plan, Wishes, reader
from bnf_lab.data.layouts.prompts import find_prompt
from bnf_lab.data.numbers import read_number
from bnf_lab.data.readers import read_label, read_pair, read_rated
from bnf_lab.data.survey import Survey

STEPS = (
    "steps are rated one by one: taken is the solution up to its first wrong step, as dispreferred, or the whole "
    "solution, as preferred, where no step is wrong; other ways to write a step are not used"
)
LOWEST = "the score is the lowest score of a conversation's answers, by which its last answer is judged"
AXES = ("overall", "accuracy", "coverage", "coherence")
_SUMMARIES = "https://hf.co/datasets/openai/summarize_from_feedback"
NO_STEP = "no step is rated wrong and the solution is not finished, so it is neither right nor wrong. Leave it out."


def recognise_summaries(seen: Survey, wishes: Wishes) -> Plan | None:
    """OpenAI's summarize_from_feedback: a post, two summaries, and the one chosen."""
    if not seen.has("info", "summaries", "choice") or seen.has("chosen", "rejected"):
        return None  # TRL's edition has a ready pair beside them
    info, summaries, choice = (seen.spelt(name) for name in ("info", "summaries", "choice"))

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        both = values.get(summaries)
        if not isinstance(both, list) or len(both) != 2:
            raise RowProblem("two 'summaries' are needed.", summaries)
        texts = [item.get("text") if isinstance(item, dict) else item for item in both]
        prompt = _read_post(values.get(info), info, reading)
        place = read_number(values.get(choice))
        if place not in (0.0, 1.0):
            raise RowProblem(f"found {shown(values.get(choice))}; the choice is 0 or 1.", choice)
        parts = {"prompt": prompt, "preferred": texts[int(place)], "dispreferred": texts[1 - int(place)]}
        return (read_pair(Parts(parts, {"prompt": info, "preferred": summaries, "dispreferred": summaries}), reading),)

    return Plan(
        "Summarize-from-feedback: the better of two summaries",
        read,
        frozenset({info, summaries, choice}),
        seen.columns["choice"].n_filled,
        column=choice,
        explained=frozenset(seen.names),
        source=_SUMMARIES,
    )


def recognise_axes(seen: Survey, wishes: Wishes) -> Plan | None:
    """Summarize-from-feedback's other part: one summary, rated from 1 to 7 along several axes."""
    if not seen.has("info", "summary") or "axes" not in seen.columns["summary"].keys:
        return None
    info, summary = seen.spelt("info"), seen.spelt("summary")
    axis = wishes.decides if wishes.decides in AXES else AXES[0]

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        about = values.get(summary)
        about = about if isinstance(about, dict) else {}
        axes = about.get("axes")
        axes = axes if isinstance(axes, dict) else {}
        parts = {"prompt": _read_post(values.get(info), info, reading), "response": about.get("text")}
        columns = {"prompt": info, "response": summary, "rating": f"{summary}.axes.{axis}"}
        return (read_rated(Parts({**parts, "rating": axes.get(axis)}, columns), reading),)

    return Plan(
        f"Summarize-from-feedback: ratings by {axis}",
        read,
        frozenset({info, summary}),
        seen.columns["summary"].n_filled,
        column=f"{summary}.axes.{axis}",
        decides=(axis, *(name for name in AXES if name != axis)),
        explained=frozenset(seen.names),
        source=_SUMMARIES,
    )


def _read_post(about: Any, column: str, reading: Reading) -> str:
    """Returns the title and the post or article that a summary is of.

    Raises:
        RowProblem: If there is none.
    """
    if not isinstance(about, dict):
        raise RowProblem(f"a post with its title is needed, found {shown(about)}.", column)
    body = about.get("post") if not is_blank(about.get("post")) else about.get("article")
    parts = [read_text(part, column, reading.field_chars) for part in (about.get("title"), body) if not is_blank(part)]
    return "\n\n".join(parts)


def recognise_arena_lists(seen: Survey, wishes: Wishes) -> Plan | None:
    """The Arena's 55k set: prompt and responses as JSON lists of turns, and three columns of which one is 1."""
    names = ("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie")
    if not seen.has(*names):
        return None
    spelt = {name: seen.spelt(name) for name in names}

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        asked, first, second = (_listed(values.get(spelt[n]), spelt[n]) for n in names[:3])
        row = {n: _as_messages(asked, said, spelt[n]) for n, said in (("response_a", first), ("response_b", second))}
        won = {name: read_number(values.get(spelt[name])) == 1 for name in names[3:]}
        if sum(won.values()) != 1:
            raise RowProblem(
                "exactly one of winner_model_a, winner_model_b and winner_tie must be 1.", spelt["winner_tie"]
            )
        side = "tie" if won["winner_tie"] else "first" if won["winner_model_a"] else "second"
        return judge_sides(row, {}, ("response_a", "response_b"), side, reading)

    return Plan(
        "Chatbot Arena (55k): the better of two conversations",
        read,
        frozenset(spelt.values()),
        seen.columns["response_a"].n_filled,
        column=spelt["winner_tie"],
        source="https://hf.co/datasets/lmarena-ai/arena-human-preference-55k",
    )


def _listed(value: Any, column: str) -> list[Any]:
    """Returns the turns of a JSON list in a text; a list stays, a plain text is one turn."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowProblem("it is not a JSON list of turns. Export it again.", column) from error
    return value if isinstance(value, list) else [value]


def _as_messages(asked: Sequence[Any], said: Sequence[Any], column: str) -> list[dict[str, Any]]:
    if len(asked) != len(said):
        raise RowProblem(
            f"it has {counted(len(said), 'turn')} and the prompt {len(asked)}. Correct it or delete the row.", column
        )
    turns = zip(asked, said, strict=True)
    return [{"role": r, "content": c} for pair in turns for r, c in zip(("user", "assistant"), pair, strict=True)]


def recognise_red_team(seen: Survey, wishes: Wishes) -> Plan | None:
    """Anthropic's red-team attempts: a whole transcript, and how harmless its worst answer is.

    The column `rating` says how well the attack went, so that it is no rating of the answer.
    """
    if not seen.has("transcript", "min_harmlessness_score_transcript"):
        return None
    columns = {"response": seen.spelt("transcript"), "rating": seen.spelt("min_harmlessness_score_transcript")}
    return Plan(
        "Anthropic red-team attempts: ratings by harmlessness",
        reader(read_rated, columns),
        frozenset(columns.values()),
        seen.columns["transcript"].n_filled,
        column=columns["rating"],
        explained=frozenset(seen.names),
        how=LOWEST,
        source="https://hf.co/datasets/Anthropic/hh-rlhf",
    )


def recognise_prm800k(seen: Survey, wishes: Wishes) -> Plan | None:
    """OpenAI's PRM800K: each step of a solution rated -1, 0 or 1 by a person."""
    if not seen.has("question", "label") or "steps" not in seen.columns["label"].keys:
        return None
    question, label = seen.spelt("question"), seen.spelt("label")

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        asked, rated = values.get(question), values.get(label)
        rated = rated if isinstance(rated, dict) else {}
        problem = asked.get("problem") if isinstance(asked, dict) else None
        steps = rated.get("steps")
        if not isinstance(steps, list) or not steps:
            raise RowProblem("a list of rated 'steps' is needed in the label.", label, "empty")
        prompt = (Message("user", read_text(problem, question, reading.field_chars)),)
        return _read_steps(
            prompt, list(map(_chosen_step, steps)), rated.get("finish_reason") == "solution", label, reading
        )

    return Plan(
        "PRM800K: solutions by their steps",
        read,
        frozenset({question, label}),
        seen.columns["label"].n_filled,
        column=label,
        explained=frozenset(seen.names),
        how=STEPS,
        source="https://github.com/openai/prm800k",
    )


def _chosen_step(step: Any) -> tuple[Any, float]:
    """Returns the text of the step that the solution went on with, and its rating; a person's own is right."""
    if not isinstance(step, dict):
        return None, 0.0
    completions, at = step.get("completions") or [], step.get("chosen_completion")
    human = step.get("human_completion")
    if not isinstance(at, int) and isinstance(human, dict):
        return human.get("text"), 1.0
    if not isinstance(at, int):
        at = next((i for i, c in enumerate(completions) if isinstance(c, dict) and c.get("rating") == -1), 0)
    item = completions[at] if isinstance(completions, list) and 0 <= at < len(completions) else {}
    return (item.get("text"), read_number(item.get("rating"))) if isinstance(item, dict) else (None, 0.0)


def _read_steps(
    prompt: tuple[Message, ...], steps: Sequence[tuple[Any, float]], is_finished: bool, column: str, reading: Reading
) -> tuple[Draft, ...]:
    wrong = next((i for i, (_, rating) in enumerate(steps) if rating == -1), None)
    if wrong is None and not is_finished:
        raise RowProblem(NO_STEP, column, "tie")
    kept = steps if wrong is None else steps[: wrong + 1]
    text = "\n".join(read_text(step, column, reading.field_chars) for step, _ in kept)
    verdict = Verdict.PREFERRED if wrong is None else Verdict.DISPREFERRED
    return (Draft(check_prompt(prompt, column), ((text, verdict),)),)


def recognise_step_pairs(seen: Survey, wishes: Wishes) -> Plan | None:
    """Math-Step-DPO: a solution's first steps, and two ways on from there.

    The whole solutions are taken, for an answer that ends after one step would teach the model to stop there.
    """
    names = ("initial_reason_steps", "full_chosen", "full_rejected")
    columns = find_prompt(seen, frozenset(names))
    if not seen.has(*names) or "prompt" not in columns:
        return None
    steps, good, bad = (seen.spelt(name) for name in names)

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        begun = "" if is_blank(values.get(steps)) else read_text(values.get(steps), steps, reading.field_chars)
        ends = [read_text(values.get(name), name, reading.field_chars) for name in (good, bad)]
        parts = {part: values.get(name) for part, name in columns.items()}
        parts |= {"preferred": begun + ends[0], "dispreferred": begun + ends[1]}
        return (read_pair(Parts(parts, {**columns, "preferred": good, "dispreferred": bad}), reading),)

    return Plan(
        "Math-Step-DPO: pairs of whole solutions",
        read,
        frozenset((*columns.values(), steps, good, bad)),
        seen.columns["full_chosen"].n_filled,
        explained=frozenset(seen.names),
        source="https://hf.co/datasets/xinlai/Math-Step-DPO-10K",
    )


def recognise_stepwise(seen: Survey, wishes: Wishes) -> Plan | None:
    """TRL's stepwise supervision: the steps of one solution and a label for each."""
    steps, labels = (
        seen.find("completions", "steps", kinds={"texts", "list of one text"}),
        seen.find("labels", kinds={"numbers", "list"}),
    )
    columns = find_prompt(seen, frozenset({steps or "", labels or ""}))
    if steps is None or labels is None or "prompt" not in columns:
        return None
    text, verdict = seen.spelt(steps), seen.spelt(labels)

    def read(values: Mapping[str, Any], reading: Reading) -> Iterable[Draft]:
        said, given = values.get(text), values.get(verdict)
        if not isinstance(said, list) or not isinstance(given, list) or len(said) != len(given) or not said:
            raise RowProblem("as many labels as steps are needed. Correct it or delete the row.", verdict)
        reading.labels = {
            "true": Verdict.PREFERRED,
            "1": Verdict.PREFERRED,
            "false": Verdict.DISPREFERRED,
            "0": Verdict.DISPREFERRED,
        }
        rated = [-1.0 if read_label(v, verdict, reading) is Verdict.DISPREFERRED else 1.0 for v in given]
        prompt = read_prompt(Parts({p: values.get(n) for p, n in columns.items()}, columns), reading)
        return _read_steps(prompt, list(zip(said, rated, strict=True)), True, text, reading)

    return Plan(
        "TRL stepwise supervision: solutions by their steps",
        read,
        frozenset((*columns.values(), text, verdict)),
        seen.columns[steps].n_filled,
        column=verdict,
        how=STEPS,
        source=TRL,
    )
